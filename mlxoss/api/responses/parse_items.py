"""From the JSON of a request's ``input`` to items, with errors that name ``input[i]``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, get_args

from mlxoss.api.errors import invalid, missing
from mlxoss.api.history.attachments import HOW_TO_GO_ON
from mlxoss.api.history.files import INPUT_FILE
from mlxoss.api.responses.attachments import note_earlier
from mlxoss.api.responses.item_answers import RecordType
from mlxoss.api.responses.items import (
    CallOutputItem,
    CompactionItem,
    CustomCallItem,
    FunctionCallItem,
    Item,
    ItemPart,
    MessageItem,
    ReasoningItem,
    RecordItem,
    Said,
)
from mlxoss.api.responses.tools import check_added_tools
from mlxoss.api.validation import to_param, validate
from mlxoss.core import JsonMapping
from mlxoss.errors import InvalidRequest, NotFound

MakeId = Callable[[str], str]
"""A fresh id that begins with the given prefix."""

FindItem = Callable[[str], JsonMapping | None]
"""A kept item's JSON by its id."""

Location = tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class _Type:
    """How items of one type are read: the model, the prefix of their ids, their parts."""

    model: type[Item]
    prefix: str
    parts: tuple[str, ...] = ()


_RECORD = "item_"

_TYPES: MappingProxyType[str, _Type] = MappingProxyType(
    {
        "message": _Type(MessageItem, "msg_", ("content",)),
        "reasoning": _Type(ReasoningItem, "rs_", ("content", "summary")),
        "function_call": _Type(FunctionCallItem, "fc_"),
        "function_call_output": _Type(CallOutputItem, "fco_", ("output",)),
        "custom_tool_call": _Type(CustomCallItem, "ctc_"),
        "custom_tool_call_output": _Type(CallOutputItem, "ctco_", ("output",)),
        "compaction": _Type(CompactionItem, "cmp_"),
        **{kind: _Type(RecordItem, _RECORD) for kind in get_args(RecordType)},
    }
)
_IS_COMPLETED = MappingProxyType({"status": "completed"})
_UNLESS_SAID: MappingProxyType[str, JsonMapping] = MappingProxyType(
    {
        "shell_call": {**_IS_COMPLETED, "environment": None},
        "shell_call_output": {**_IS_COMPLETED, "max_output_length": None},
        "local_shell_call": _IS_COMPLETED,
        "apply_patch_call": _IS_COMPLETED,
        "apply_patch_call_output": _IS_COMPLETED,
        "tool_search_call": {**_IS_COMPLETED, "call_id": None},
        "tool_search_output": {**_IS_COMPLETED, "call_id": None},
        "web_search_call": _IS_COMPLETED,
        "code_interpreter_call": {**_IS_COMPLETED, "code": None, "outputs": None},
        "mcp_call": _IS_COMPLETED,
    }
)
"""What OpenAI lists of items, though clients need not say it."""
_NAMED_BY_ITS_CALL = "local_shell_call_output"
"""Its ``id`` is that of the call, where another item has it."""
_MARK = "context_compaction"
"""Codex's: a compaction, or where it has no content the mark of one that Codex made itself."""
_ALIASES = MappingProxyType({"compaction_summary": "compaction"})
_TEXTUAL = frozenset({"text", "input_text", "output_text", "summary_text", "reasoning_text"})
_REFERENCE = "item_reference"


def referenced_ids(values: Sequence[object]) -> tuple[str, ...]:
    """The ids of kept items that ``values`` point at, for the caller to look up."""
    return tuple(
        value["id"]
        for value in values
        if isinstance(value, Mapping) and _is_reference(value) and isinstance(value.get("id"), str)
    )


def parse_items(
    values: Sequence[object], *, make_id: MakeId, find: FindItem, field: str = "input"
) -> tuple[Item, ...]:
    """Validate items; those without an id get one, references become what they point at.

    Where a tool answered with an image, audio or a file, or an earlier message holds one, there
    is a note from here on, but for files that were read (``attachments.find_files``).
    Raises InvalidRequest that names the item, or NotFound for a reference to nothing.
    ``field`` is what the list is called in the request.
    """
    return tuple(
        _parse(value, (field, position), make_id, find)
        for position, value in enumerate(note_earlier(values))
    )


def read_items(values: Sequence[JsonMapping]) -> tuple[Item, ...]:
    """Items that were kept, back from their JSON."""
    return parse_items(values, make_id=_no_id, find=lambda _: None, field="items")


def check_items(history: Sequence[Item], items: Sequence[Item], *, field: str = "input") -> None:
    """Raise InvalidRequest for an id that is there twice, or an output without its call.

    ``items`` follow ``history``, which is not checked itself.
    """
    seen = {item.id for item in history}
    calls = {_call_key(item) for item in history if _is_call(item)}
    for position, item in enumerate(items):
        if item.id in seen:
            raise InvalidRequest(
                f"Duplicate item found with id '{item.id}'. Remove duplicate items from your "
                "input and try again.",
                param=f"{field}[{position}].id",
                code="duplicate_item",
            )
        seen.add(item.id)
        if _is_call(item):
            calls.add(_call_key(item))
        elif isinstance(item, CallOutputItem) and _call_key(item) not in calls:
            kind = "function" if item.type == "function_call_output" else "custom tool"
            raise invalid(
                f"{field}[{position}].call_id",
                f"no earlier {kind} call has the id '{item.call_id}'",
            )


def _is_call(item: Item) -> bool:
    return isinstance(item, FunctionCallItem | CustomCallItem) or (
        isinstance(item, RecordItem) and item.call_id is not None
    )


def _call_key(item: Item) -> tuple[bool, str]:
    match item:
        case FunctionCallItem():
            return False, item.call_id
        case RecordItem(call_id=str(call_id)):
            # Codex answers a call of the local shell as one of a function.
            return False, call_id
        case CustomCallItem():
            return True, item.call_id
        case CallOutputItem():
            return item.type == "custom_tool_call_output", item.call_id
        case _:
            raise TypeError(f"{type(item).__name__} belongs to no call")


def _parse(value: Any, location: Location, make_id: MakeId, find: FindItem) -> Item:
    param = to_param(location)
    if not isinstance(value, Mapping):
        raise invalid(param, "an item should be an object")
    kind = value.get("type") or _type_of(value, location)
    if kind == _REFERENCE:
        return _resolve(value, location, find)
    kind = _ALIASES.get(kind, kind) if isinstance(kind, str) else kind
    if kind == _MARK and value.get("encrypted_content"):
        kind = "compaction"
    known = _TYPES.get(kind) if isinstance(kind, str) else None
    if known is None:
        raise invalid(f"{param}.type", f"items of type {kind!r} are not supported")
    if kind == _NAMED_BY_ITS_CALL:
        value = _with_own_id(value)
    unsaid = {k: v for k, v in _UNLESS_SAID.get(kind, {}).items() if value.get(k) is None}
    fields = {**value, **unsaid, "type": kind, "id": value.get("id") or make_id(known.prefix)}
    item = validate(known.model, fields, location)
    if isinstance(item, RecordItem):
        _check_record(item, location)
    for name in known.parts:
        parts = getattr(item, name)
        if isinstance(parts, list):
            _check_parts(parts, (*location, name))
    return item


def _check_record(item: RecordItem, location: Location) -> None:
    check_added_tools(item, location)
    if item.type == "agent_message":
        said = validate(Said, item.fields, location)
        _check_parts(said.content, (*location, "content"))


def _with_own_id(value: JsonMapping) -> JsonMapping:
    item_id = value.get("id")
    if not isinstance(item_id, str) or item_id.startswith(_RECORD):
        return value
    return {"call_id": item_id, **value, "id": None}


def _type_of(value: JsonMapping, location: Location) -> str:
    """The type of an item that names none: a message has a role, a reference only an id."""
    if "role" in value:
        return "message"
    if _is_reference(value):
        return _REFERENCE
    raise missing(to_param((*location, "type")))


def _is_reference(value: JsonMapping) -> bool:
    """By its type, or by having nothing but an id: the type may be left out, or null."""
    kind = value.get("type")
    named = {name for name, one in value.items() if one is not None}
    return kind == _REFERENCE or (kind is None and named == {"id"})


def _resolve(value: JsonMapping, location: Location, find: FindItem) -> Item:
    item_id = value.get("id")
    param = to_param((*location, "id"))
    if item_id is None:
        raise missing(param)
    found = find(item_id) if isinstance(item_id, str) else None
    if found is None:
        raise NotFound(
            f"Item with id '{item_id}' not found. Only items of stored responses are kept.",
            param=param,
            code="item_not_found",
        )
    return _parse(found, location, _no_id, lambda _: None)


def _check_parts(parts: Sequence[ItemPart], location: Location) -> None:
    for position, part in enumerate(parts):
        param = to_param((*location, position))
        if part.type == INPUT_FILE and part.text is not None:
            continue
        if part.type in _TEXTUAL:
            if part.text is None:
                raise missing(f"{param}.text")
        elif part.type == "refusal":
            if part.refusal is None:
                raise missing(f"{param}.refusal")
        else:
            raise InvalidRequest(
                f"Invalid '{param}': content of type '{part.type}' is not supported; "
                f"this model reads text only. {HOW_TO_GO_ON}",
                param=param,
                code="unsupported_content_type",
            )


def _no_id(prefix: str) -> str:
    raise InvalidRequest(f"A kept item ({prefix}) has no id.")
