"""From chat messages to a conversation's items.

Leading system and developer messages become the instructions; later ones stay
where they are. An assistant message with calls is a preamble and those calls,
without calls it is the final answer of its turn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mlxoss.api.chat.request import ChatMessageParam, ContentPart
from mlxoss.api.errors import missing
from mlxoss.api.history.attachments import HOW_TO_GO_ON
from mlxoss.api.history.replay import ExactTurns, is_blank
from mlxoss.api.history.tool_loops import CallMade, CallResult, ToolLoops
from mlxoss.errors import InvalidRequest
from mlxoss.harmony.conversation import (
    DeveloperText,
    FinalText,
    FunctionCall,
    FunctionResult,
    Item,
    Preamble,
    Reasoning,
    UserText,
)

_INSTRUCTION_ROLES = frozenset({"system", "developer"})
_PART_SEPARATOR = "\n"
_MESSAGE_SEPARATOR = "\n\n"


def issued_call_ids(messages: Sequence[ChatMessageParam]) -> tuple[str, ...]:
    """The ids of the calls whose exact turns still matter: those after the last answer."""
    open_turn = _Messages(messages).open_turn
    return tuple(call.id for message in messages[open_turn:] for call in message.tool_calls or ())


def to_items(
    messages: Sequence[ChatMessageParam], turns: ExactTurns | None = None
) -> tuple[str | None, tuple[Item, ...]]:
    """The instructions, if any, and everything after them.

    An assistant message of which ``turns`` knows the exact turn, and which says the same,
    becomes that turn: its reasoning comes back even if the client dropped it. Raises
    InvalidRequest for content that is not text, and for a tool's answer to a call that
    was never made.
    """
    first = next(
        (i for i, m in enumerate(messages) if m.role not in _INSTRUCTION_ROLES), len(messages)
    )
    leading = [_required_text(message, i) for i, message in enumerate(messages[:first])]
    conversation = _Messages(messages)
    converter = _Converter(conversation)
    items: list[Item] = []
    for position, message in enumerate(messages[first:], start=first):
        converted = list(converter.convert(message, position))
        is_open = position >= conversation.open_turn
        exact = _exact_turn(message, converted, turns) if is_open else None
        items += converted if exact is None else exact
    return (_MESSAGE_SEPARATOR.join(leading) if leading else None), tuple(items)


class _Messages:
    """Messages together: ``loops`` are the calls among them, ``open_turn`` is where those after
    the last answer begin."""

    def __init__(self, messages: Sequence[ChatMessageParam]) -> None:
        self._messages = messages
        self.loops = ToolLoops(self._steps())
        self._before_call = self._find_before_call()
        self.open_turn = max(filter(self.is_answer, range(len(messages))), default=-1) + 1

    def is_answer(self, position: int) -> bool:
        """Whether the message ends the tool loop: words, behind which no call and no call's
        answer follows."""
        message = self._messages[position]
        return (
            message.role == "assistant"
            and not is_blank(_words(message))
            and not (_has_calls(message) or self.loops.is_open(position))
            and position not in self._before_call
        )

    def _find_before_call(self) -> set[int]:
        """Where in the same turn a call is to come: clients may split a turn into messages."""
        found: set[int] = set()
        is_before = False
        for position in reversed(range(len(self._messages))):
            message = self._messages[position]
            if message.role != "assistant":
                is_before = False
            elif is_before:
                found.add(position)
            is_before = is_before or _has_calls(message)
        return found

    def _steps(self) -> Iterator[CallMade | CallResult]:
        for place, message in enumerate(self._messages):
            for call in message.tool_calls or ():
                yield CallMade(place, call.id, call.name)
            if message.function_call is not None:
                name = message.function_call.name
                yield CallMade(place, name, name, "function")
            if message.role == "tool" and message.tool_call_id is not None:
                param = f"messages[{place}].tool_call_id"
                yield CallResult(place, message.tool_call_id, place, param)
            elif message.role == "function" and message.name is not None:
                param = f"messages[{place}].name"
                yield CallResult(place, message.name, place, param, "function")


def _has_calls(message: ChatMessageParam) -> bool:
    return bool(message.tool_calls or message.function_call)


def _words(message: ChatMessageParam) -> str:
    """Text or refusal, whatever its parts are."""
    parts = (part.text or part.refusal or "" for part in message.content or ())
    return "".join(parts) or message.refusal or ""


def _exact_turn(
    message: ChatMessageParam, converted: Sequence[Item], turns: ExactTurns | None
) -> tuple[Item, ...] | None:
    calls = [item for item in converted if isinstance(item, FunctionCall)]
    ids = [call.id for call in message.tool_calls or ()]
    if turns is None or not ids or len(ids) != len(calls):
        return None
    text = "".join(item.text for item in converted if isinstance(item, Preamble))
    reasoning = "".join(item.text for item in converted if isinstance(item, Reasoning))
    return turns.of_message(dict(zip(ids, calls, strict=True)), text, reasoning)


class _Converter:
    """Knows the whole conversation: what a message becomes depends on those around it."""

    def __init__(self, conversation: _Messages) -> None:
        self._conversation = conversation

    def convert(self, message: ChatMessageParam, position: int) -> Iterator[Item]:
        match message.role:
            case "system" | "developer":
                yield DeveloperText(_required_text(message, position))
            case "user":
                yield UserText(_required_text(message, position), message.name)
            case "assistant":
                yield from self._assistant_items(message, position)
            case "tool":
                name = self._answered_function(message, position)
                yield FunctionResult(name, _required_text(message, position))
            case "function":
                if message.name is None:
                    raise missing(f"messages[{position}].name")
                yield FunctionResult(message.name, _required_text(message, position))

    def _assistant_items(self, message: ChatMessageParam, position: int) -> Iterator[Item]:
        reasoning = message.reasoning or message.reasoning_content
        text = _optional_text(message, position) or message.refusal
        calls = list(self._calls(message))
        if reasoning:
            yield Reasoning(reasoning)
        if text and not is_blank(text):
            is_answer = self._conversation.is_answer(position)
            yield FinalText(text) if is_answer else Preamble(text)
        yield from calls
        if message.content is None and not (reasoning or text or calls):
            raise missing(f"messages[{position}].content")

    def _calls(self, message: ChatMessageParam) -> Iterator[FunctionCall]:
        for call in message.tool_calls or []:
            yield FunctionCall(call.name, call.text, is_text=call.custom is not None)
        if message.function_call is not None:
            yield FunctionCall(message.function_call.name, message.function_call.arguments)

    def _answered_function(self, message: ChatMessageParam, position: int) -> str:
        param = f"messages[{position}].tool_call_id"
        if message.tool_call_id is None:
            raise missing(param)
        name = self._conversation.loops.names.get(position)
        if name is None:
            raise InvalidRequest(
                f"Invalid '{param}': no earlier assistant message holds a tool call with the id "
                f"'{message.tool_call_id}'.",
                param=param,
                code="invalid_value",
            )
        return name


def _required_text(message: ChatMessageParam, position: int) -> str:
    text = _optional_text(message, position)
    if text is None:
        raise missing(f"messages[{position}].content")
    return text


def _optional_text(message: ChatMessageParam, position: int) -> str | None:
    if message.content is None:
        return None
    parts = (
        _part_text(part, f"messages[{position}].content[{i}]", message.role)
        for i, part in enumerate(message.content)
    )
    return _PART_SEPARATOR.join(parts)


def _part_text(part: ContentPart, param: str, role: str) -> str:
    match part.type:
        case "text":
            text = part.text
        case "refusal" if role == "assistant":
            text = part.refusal
        case _:
            raise InvalidRequest(
                f"Invalid '{param}': content of type '{part.type}' is not supported; "
                f"this model reads text only. {HOW_TO_GO_ON}",
                param=param,
                code="unsupported_content_type",
            )
    if text is None:
        raise missing(f"{param}.{part.type}")
    return text
