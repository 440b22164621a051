"""Calls that this server ran, in a history: as calls and results again where that is known.

Of code and of the browser the items do not hold what the model was answered: that comes from the
store, or sealed, by the items' ids. Without it an item tells of others' work
(``mlxoss.api.responses.records``). A call of an MCP server, and what waits for the client's word,
are of a function as long as the request declares that tool.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mlxoss.api.hosted.calls import ToolResult
from mlxoss.api.responses.items import Item, RecordItem
from mlxoss.core import JsonMapping
from mlxoss.harmony.conversation import BuiltinCall, BuiltinResult, FunctionCall, FunctionResult

REQUEST = "mcp_approval_request"
RESPONSE = "mcp_approval_response"
_RUN = frozenset({"code_interpreter_call", "web_search_call", "mcp_call"})
_OPEN = frozenset({"in_progress", "calling", "incomplete"})

_DENIED = "The user did not allow this call."
_NOT_MADE = "This call was not made."
_UNFINISHED = "The call did not end."

McpNames = Mapping[tuple[str, str], str]
"""The functions of MCP servers' tools, by label and tool."""


@dataclass(frozen=True, slots=True)
class HostedStep:
    """What an item becomes: the model's call, the tool's answer, or both."""

    call: FunctionCall | BuiltinCall | None = None
    result: ToolResult | None = None


def is_hosted_call(item: Item) -> bool:
    """Whether an item is a call that this server may have run, or was asked to."""
    return isinstance(item, RecordItem) and (item.type in _RUN or item.type == REQUEST)


def is_approval(kind: str) -> bool:
    """Whether items of the type belong to a call that waited for the client's word."""
    return kind in (REQUEST, RESPONSE)


class HostedHistory:
    """Reads the items of a conversation. ``find`` gives what the call of an item's id was
    answered, if that is known."""

    def __init__(
        self, items: Sequence[Item], names: McpNames, find: Callable[[str], ToolResult | None]
    ) -> None:
        self._names = names
        self._find = find
        records = [item for item in items if isinstance(item, RecordItem)]
        self._requests = {
            item.id: item for item in records if item.type == REQUEST and _key(item.fields) in names
        }
        self._answered = {to_request_id(item.fields) for item in records if _is_answer(item)}

    def read(self, item: RecordItem) -> HostedStep | None:
        """What ``item`` becomes; ``None`` if it is none of these, or is of another server's."""
        fields = item.fields
        match item.type:
            case "code_interpreter_call" | "web_search_call":
                return _read_builtin(item, self._find(item.id))
            case "mcp_call":
                return self._read_mcp(item)
            case "mcp_approval_request":
                return self._read_request(item)
            case "mcp_approval_response":
                return self._read_word(fields)
        return None

    def _read_mcp(self, item: RecordItem) -> HostedStep | None:
        fields, known = item.fields, self._find(item.id)
        was_asked = to_request_id(fields) in self._requests
        name = self._names.get(_key(fields))
        if isinstance(known, FunctionResult):
            name = known.name
        if name is None:
            return None
        result = known or FunctionResult(name, _answer(fields))
        if was_asked:
            return HostedStep(result=result)
        return HostedStep(FunctionCall(name, _text(fields.get("arguments"))), result)

    def _read_request(self, item: RecordItem) -> HostedStep:
        """The call; no call stands there without an answer, so one that nobody answers has this."""
        if item.id not in self._requests:
            return HostedStep()
        name = self._names[_key(item.fields)]
        call = FunctionCall(name, _text(item.fields.get("arguments")))
        is_answered = item.id in self._answered
        return HostedStep(call, None if is_answered else FunctionResult(name, _NOT_MADE))

    def _read_word(self, fields: JsonMapping) -> HostedStep:
        request = self._requests.get(to_request_id(fields))
        if request is None or fields.get("approve") is not False:
            return HostedStep()
        lines = filter(None, (_DENIED, _text(fields.get("reason"))))
        name = self._names[_key(request.fields)]
        return HostedStep(result=FunctionResult(name, "\n".join(lines)))


def to_request_id(fields: JsonMapping) -> str:
    """The request for a word that an answer to one names; empty if it names none."""
    return _text(fields.get("approval_request_id"))


def _is_answer(item: RecordItem) -> bool:
    """Whether a call that waited was run, was denied, or is now to be run."""
    is_word = item.type == RESPONSE and isinstance(item.fields.get("approve"), bool)
    return is_word or item.type == "mcp_call"


def _read_builtin(item: RecordItem, known: ToolResult | None) -> HostedStep | None:
    if not isinstance(known, BuiltinResult):
        return None
    is_code = item.type == "code_interpreter_call"
    text = _text(item.fields.get("code")) if is_code else _to_arguments(item.fields.get("action"))
    return HostedStep(BuiltinCall(known.author, text, known.channel), known)


def _to_arguments(action: object) -> str:
    """What the model may have written, where it is not known to the token."""
    fields = action if isinstance(action, dict) else {}
    match fields.get("type"):
        case "open_page":
            arguments = {"id": _text(fields.get("url"))}
        case "find_in_page":
            arguments = {"pattern": _text(fields.get("pattern"))}
        case _:
            arguments = {"query": _text(fields.get("query"))}
    return json.dumps(arguments, ensure_ascii=False)


def _answer(fields: JsonMapping) -> str:
    """What a server answered, as an item tells it."""
    error, output = fields.get("error"), fields.get("output")
    if isinstance(error, dict):
        content = error.get("content")
        parts = content if isinstance(content, list) else []
        said = [_text(part.get("text")) for part in parts if isinstance(part, dict)]
        return "\n".join(said) or _text(error.get("message"))
    if error or output is not None:
        return _text(error or output)
    return _UNFINISHED if _text(fields.get("status")) in _OPEN else ""


def _key(fields: JsonMapping) -> tuple[str, str]:
    return _text(fields.get("server_label")), _text(fields.get("name"))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
