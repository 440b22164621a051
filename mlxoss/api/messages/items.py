"""From Anthropic's messages to a conversation's items.

Each block of an answer is one message of the model's turn, so they go back one by one: a text
before a call is a preamble, and the last text of an answer without calls is its final.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from mlxoss.api.attachments import HOW_TO_GO_ON
from mlxoss.api.encrypted_content import ContentSeal
from mlxoss.api.errors import invalid, missing, unsupported
from mlxoss.api.messages.records import is_record, to_tool_name
from mlxoss.api.messages.request import Block, MessageParam, ResultBlock
from mlxoss.api.replay import ExactTurns
from mlxoss.harmony.conversation import (
    DeveloperText,
    FinalText,
    FunctionCall,
    FunctionResult,
    Item,
    PlainItem,
    Preamble,
    Reasoning,
    UserText,
)

_BLOCK_SEPARATOR = "\n"
_SYSTEM_SEPARATOR = "\n\n"
_FAILED = "Error: "

_BILLING = "x-anthropic-billing-header:"
"""Claude Code begins its system prompt with this line for the servers of its maker. It is not
for the model, and differs in every request, so that no prefix would ever be found again."""


def to_instructions(system: Sequence[Block] | None) -> str | None:
    """``system`` as the developer's text. Raises InvalidRequest for what is not text."""
    texts = [_text(block, f"system[{i}]") for i, block in enumerate(system or ())]
    kept = [text.partition("\n")[2] if text.startswith(_BILLING) else text for text in texts]
    return _SYSTEM_SEPARATOR.join(filter(None, kept)) or None


def issued_call_ids(messages: Sequence[MessageParam]) -> tuple[str, ...]:
    """The ids of the calls whose exact turns still matter: those after the last answer."""
    ids: list[str] = []
    for role, blocks in _turns(messages):
        calls = [block.id for _, block in blocks if block.type == "tool_use" and block.id]
        ids = [] if _is_answer(role, blocks) else [*ids, *calls]
    return tuple(ids)


def to_items(
    messages: Sequence[MessageParam], *, seal: ContentSeal, turns: ExactTurns
) -> tuple[Item, ...]:
    """Everything after the system's text.

    An answer of which ``turns`` knows the exact turn, and which says the same, becomes that
    turn. Of thinking that ``seal`` did not make its text is read, if it has any. Raises
    InvalidRequest, naming the block, for what is not text, and a result of no call.
    """
    in_turns = list(_turns(messages))
    last_final = max((i for i, turn in enumerate(in_turns) if _is_answer(*turn)), default=-1)
    converter = _Converter(seal, turns)
    items: list[Item] = []
    for position, (role, blocks) in enumerate(in_turns):
        converter.is_over = position <= last_final
        items += converter.convert(role, blocks)
    return tuple(items)


_Placed = tuple[str, Block]
"""A block and the field that it is in."""


def _turns(messages: Sequence[MessageParam]) -> Iterator[tuple[str, list[_Placed]]]:
    """Messages of one role, one after the other, are one turn: clients may split them."""
    role, blocks = "", list[_Placed]()
    for position, message in enumerate(messages):
        if message.role != role and blocks:
            yield role, blocks
            blocks = []
        role = message.role
        blocks += [
            (f"messages[{position}].content[{i}]", block) for i, block in enumerate(message.content)
        ]
    if blocks:
        yield role, blocks


def _is_answer(role: str, blocks: Sequence[_Placed]) -> bool:
    """Whether the turn ends with an answer: text, and no call."""
    types = {block.type for _, block in blocks}
    return role == "assistant" and "text" in types and "tool_use" not in types


@dataclass(slots=True)
class _Converter:
    """Remembers the calls seen so far, to name the tool that a result answers.

    A turn ``is_over`` up to the last answer: thinking is dropped there.
    """

    seal: ContentSeal
    turns: ExactTurns
    is_over: bool = False
    _names: dict[str, str] = field(default_factory=dict)

    def convert(self, role: str, blocks: Sequence[_Placed]) -> Sequence[Item]:
        match role:
            case "system":
                texts = [_text(block, param) for param, block in blocks]
                return [DeveloperText(_BLOCK_SEPARATOR.join(texts))]
            case "user":
                return list(self._user(blocks))
            case _:
                return self._assistant(blocks)

    def _user(self, blocks: Sequence[_Placed]) -> Iterator[Item]:
        """The results first: they belong to the turn that is still open."""
        texts: list[str] = []
        for param, block in blocks:
            if block.type == "tool_result":
                yield self._result(block, param)
            else:
                texts.append(_text(block, param))
        if texts:
            yield UserText(_BLOCK_SEPARATOR.join(texts))

    def _result(self, block: Block, param: str) -> FunctionResult:
        name = self._names.get(block.tool_use_id or "")
        if name is None:
            raise invalid(f"{param}.tool_use_id", "no call before it has this id")
        texts = [_text(part, f"{param}.content[{i}]") for i, part in enumerate(block.content or ())]
        output = _BLOCK_SEPARATOR.join(texts)
        return FunctionResult(name, f"{_FAILED}{output}" if block.is_error else output)

    def _assistant(self, blocks: Sequence[_Placed]) -> Sequence[Item]:
        ids = [block.id for _, block in blocks if block.type == "tool_use"]
        last = max((i for i, (_, block) in enumerate(blocks) if block.type == "text"), default=-1)
        items: list[PlainItem] = []
        for position, (param, block) in enumerate(blocks):
            is_final = not ids and position == last
            item = self._turn_item(block, param, is_final=is_final)
            items += [] if item is None else [item]
        record = self.turns.by_call(ids[0]) if ids and ids[0] else None
        if record is None or list(record.call_ids) != ids:
            return items
        exact = self.turns.matching(record, items)
        return items if exact is None else [exact]

    def _turn_item(self, block: Block, param: str, *, is_final: bool) -> PlainItem | None:
        match block.type:
            case "thinking":
                return self._reasoning(block.thinking, block.signature)
            case "redacted_thinking":
                return self._reasoning(None, block.data)
            case "tool_use":
                return self._call(block, param)
            case kind if is_record(kind):
                name = to_tool_name(kind, block.name)
                return FunctionResult(name, block.text) if block.text else None
            case _:
                text = _text(block, param)
                return FinalText(text) if is_final else Preamble(text)

    def _reasoning(self, text: str | None, sealed: str | None) -> Reasoning | None:
        """What the signature holds, whatever the text; another server's is worth its text."""
        opened = self.seal.open_reasoning(sealed) if sealed and not self.is_over else None
        return opened or (Reasoning(text) if text else None)

    def _call(self, block: Block, param: str) -> FunctionCall:
        for name in ("id", "name", "input"):
            if getattr(block, name) is None:
                raise missing(f"{param}.{name}")
        assert block.id is not None
        assert block.name is not None
        self._names[block.id] = block.name
        try:
            arguments = json.dumps(
                block.input, ensure_ascii=False, allow_nan=False, separators=(",", ":")
            )
        except ValueError:
            raise invalid(f"{param}.input", "it holds a number that JSON does not have") from None
        return FunctionCall(block.name, arguments)


def _text(block: ResultBlock, param: str) -> str:
    if block.type != "text":
        reason = f"this model reads text, and no '{block.type}' here. {HOW_TO_GO_ON}"
        raise unsupported(f"{param}.type", reason.removesuffix("."))
    if block.text is None:
        raise missing(f"{param}.text")
    return block.text
