"""From Anthropic's messages to a conversation's items.

Each block of an answer is one message of the model's turn, so they go back one by one: a text
before a call is a preamble, and the last text of an answer without calls is its final.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mlxoss.api.errors import invalid, missing, unsupported
from mlxoss.api.history.attachments import HOW_TO_GO_ON
from mlxoss.api.history.encrypted_content import ContentSeal
from mlxoss.api.history.replay import ExactTurns, is_blank, is_wordless
from mlxoss.api.history.tool_course import ToolCourse
from mlxoss.api.history.tool_loops import CallMade, CallResult, ToolLoops
from mlxoss.api.messages.blocks import (
    TOOL_CHANGES,
    Block,
    MessageParam,
    Placed,
    ResultBlock,
    in_turns,
)
from mlxoss.api.messages.records import is_record, to_tool_name
from mlxoss.api.messages.tools import REFERENCE
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
_FOUND = "Found the function "
_UNKNOWN = "There is no longer a function "

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
    turns = _Turns(messages)
    return tuple(
        block.id
        for _, blocks in turns.all[turns.last_answer + 1 :]
        for _, block in blocks
        if block.type == "tool_use" and block.id
    )


def to_items(
    messages: Sequence[MessageParam], *, seal: ContentSeal, turns: ExactTurns, tools: ToolCourse
) -> tuple[Item, ...]:
    """Everything after the system's text; the places of ``tools`` are positions of turns.

    An answer of which ``turns`` knows the exact turn, and which says the same, becomes that
    turn. Of thinking that ``seal`` did not make its text is read, if it has any. Raises
    InvalidRequest, naming the block, for what is not text, and a result of no call.
    """
    converter = _Converter(seal, turns, tools, _Turns(messages))
    places = range(len(converter.conversation.all))
    last = tools.later.get(len(places))
    items = (item for position in places for item in converter.convert(position))
    return (*items, last) if last else tuple(items)


class _Turns:
    """``all`` are the roles and blocks of the turns; ``loops`` are the calls among them."""

    def __init__(self, messages: Sequence[MessageParam]) -> None:
        self.all = list(in_turns(messages))
        self.loops = ToolLoops(self._steps())
        answers = (i for i in range(len(self.all)) if self.is_answer(i))
        self.last_answer = max(answers, default=-1)

    def is_answer(self, position: int) -> bool:
        """Whether the turn ends the tool loop: words, no call, and no call's result to come."""
        role, blocks = self.all[position]
        return (
            role == "assistant"
            and any(block.type == "text" and not is_blank(block.text) for _, block in blocks)
            and not any(block.type == "tool_use" for _, block in blocks)
            and not self.loops.is_open(position)
        )

    def _steps(self) -> Iterator[CallMade | CallResult]:
        for position, (role, blocks) in enumerate(self.all):
            for param, block in blocks:
                if role == "assistant" and block.type == "tool_use" and block.id and block.name:
                    yield CallMade(position, block.id, block.name)
                elif role == "user" and block.type == "tool_result" and block.tool_use_id:
                    where = f"{param}.tool_use_id"
                    yield CallResult(position, block.tool_use_id, param, where)


@dataclass(frozen=True, slots=True)
class _Converter:
    """Knows the whole conversation: what a block becomes depends on those around it."""

    seal: ContentSeal
    turns: ExactTurns
    tools: ToolCourse
    conversation: _Turns

    def convert(self, position: int) -> Sequence[Item]:
        role, blocks = self.conversation.all[position]
        told = self.tools.later.get(position)
        blocks = [placed for placed in blocks if placed[1].type not in TOOL_CHANGES]
        match role:
            case "system":
                return list(self._system(blocks, told))
            case "user":
                return list(self._user(blocks, told))
            case _:
                turn = self._assistant(blocks, position)
                return [told, *turn] if told else turn

    def _system(self, blocks: Sequence[Placed], told: DeveloperText | None) -> Iterator[Item]:
        texts = [_text(block, param) for param, block in blocks]
        if told and told.text:
            texts.append(told.text)
        if texts or told:
            yield DeveloperText(_BLOCK_SEPARATOR.join(texts), told.tools if told else ())

    def _user(self, blocks: Sequence[Placed], told: DeveloperText | None) -> Iterator[Item]:
        """The results first: they belong to the turn that is still open. Tools that they refer to
        come right behind them."""
        texts: list[str] = []
        for param, block in blocks:
            if block.type == "tool_result":
                yield self._result(block, param)
            else:
                texts.append(_text(block, param))
        if told:
            yield told
        if texts:
            yield UserText(_BLOCK_SEPARATOR.join(texts))

    def _result(self, block: Block, param: str) -> FunctionResult:
        name = self.conversation.loops.names.get(param)
        if name is None:
            raise invalid(f"{param}.tool_use_id", "no call before it has this id")
        parts = enumerate(block.content or ())
        texts = [self._result_text(part, f"{param}.content[{i}]") for i, part in parts]
        output = _BLOCK_SEPARATOR.join(texts)
        return FunctionResult(name, f"{_FAILED}{output}" if block.is_error else output)

    def _result_text(self, part: ResultBlock, param: str) -> str:
        if part.type != REFERENCE:
            return _text(part, param)
        if part.tool_name is None:
            raise missing(f"{param}.tool_name")
        is_known = part.tool_name in self.tools.known
        return f"{_FOUND if is_known else _UNKNOWN}{part.tool_name}"

    def _assistant(self, blocks: Sequence[Placed], position: int) -> Sequence[Item]:
        ids = [block.id for _, block in blocks if block.type == "tool_use"]
        is_over = position <= self.conversation.last_answer
        found = [self._turn_item(block, param, is_over=is_over) for param, block in blocks]
        items = [item for item in found if item is not None and not is_wordless(item)]
        if self.conversation.is_answer(position):
            last, text = max((i, it.text) for i, it in enumerate(items) if isinstance(it, Preamble))
            items[last] = FinalText(text)
        record = self.turns.by_call(ids[0]) if ids and ids[0] else None
        if record is None or list(record.call_ids) != ids:
            return items
        exact = self.turns.matching(record, items)
        return items if exact is None else [exact]

    def _turn_item(self, block: Block, param: str, *, is_over: bool) -> PlainItem | None:
        """What the block becomes; texts are preambles. In a turn that ``is_over`` thinking is
        dropped, so what is sealed stays so."""
        match block.type:
            case "thinking":
                return self._reasoning(block.thinking, None if is_over else block.signature)
            case "redacted_thinking":
                return self._reasoning(None, None if is_over else block.data)
            case "tool_use":
                return self._call(block, param)
            case kind if is_record(kind):
                name = to_tool_name(kind, block.name)
                return FunctionResult(name, block.text) if block.text else None
            case _:
                return Preamble(_text(block, param))

    def _reasoning(self, text: str | None, sealed: str | None) -> Reasoning | None:
        """What the signature holds, whatever the text; another server's is worth its text."""
        opened = self.seal.open_reasoning(sealed) if sealed else None
        return opened or (Reasoning(text) if text else None)

    def _call(self, block: Block, param: str) -> FunctionCall:
        for name in ("id", "name", "input"):
            if getattr(block, name) is None:
                raise missing(f"{param}.{name}")
        assert block.id is not None
        assert block.name is not None
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
