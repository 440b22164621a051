"""The tools of a Responses request, and the names under which the model knows them.

``function`` and ``custom`` tools are shown as functions; those of a ``namespace`` get
one flat name (``crm__lookup``) that is taken apart again on the call. Tools that
OpenAI runs itself (``web_search``, ``image_generation``, …) cannot be served by a text
model: they are left out and named in ``ToolTable.dropped``.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from types import MappingProxyType
from typing import Annotated, Any, Literal

from mlxoss.api.errors import invalid, missing
from mlxoss.api.history.tool_course import Added, CallableTool, ToolStep, follow_tools
from mlxoss.api.params import FunctionName, flatten
from mlxoss.api.responses.items import Item, RecordItem
from mlxoss.api.responses.items_to_prompt import count_leading
from mlxoss.api.turn_rules import custom_rule, describe_custom, function_rule
from mlxoss.api.validation import StrictModel, read_later, to_param, validate
from mlxoss.core import JsonObject
from mlxoss.harmony.conversation import DeveloperText, FunctionTool
from mlxoss.harmony.grammar.rules import CallRule

Location = tuple[int | str, ...]

_ADDING = frozenset({"additional_tools", "tool_search_output"})
"""Items that give the model tools in the middle of a conversation."""


class FunctionToolParam(StrictModel):
    """A declared function; with ``strict`` its arguments follow ``parameters``."""

    type: Literal["function"]
    name: FunctionName
    description: str | None = None
    parameters: JsonObject | None = None
    strict: bool | None = None


class CustomFormat(StrictModel):
    """What a custom tool's input looks like; a grammar is shown to the model."""

    type: Literal["text", "grammar"]
    syntax: Literal["lark", "regex"] | None = None
    definition: str | None = None


class CustomToolParam(StrictModel):
    """A tool whose input is free text."""

    type: Literal["custom"]
    name: FunctionName
    description: str | None = None
    format: CustomFormat | None = None


class NamespaceParam(StrictModel):
    """A group of tools."""

    type: Literal["namespace"]
    name: FunctionName
    description: str | None = None
    tools: list[Annotated[Any, read_later(FunctionToolParam | CustomToolParam)]]


class HostedToolParam(StrictModel):
    """A tool that OpenAI runs itself: left out."""

    type: str


ToolParam = Annotated[
    Any, read_later(FunctionToolParam | CustomToolParam | NamespaceParam | HostedToolParam)
]
"""A declared tool: ``read_tools`` reads it."""


class ToolKind(Enum):
    """How a call of the tool is given to the client."""

    FUNCTION = auto()
    CUSTOM = auto()


@dataclass(frozen=True, slots=True)
class ToolName:
    """A tool as the client named it."""

    kind: ToolKind
    name: str
    namespace: str | None = None

    @property
    def flat(self) -> str:
        """The name that the model sees."""
        return flatten(self.name, self.namespace)


@dataclass(frozen=True, slots=True)
class ToolTable:
    """What became of a request's tools.

    ``functions`` are shown to the model in front, ``later`` the others behind the items of these
    ids; ``calls`` say what it may write to them, ``names`` by their names what they are to the
    client; ``public`` is the response's ``tools``;
    ``dropped`` are the types of the tools that were left out, in order.
    """

    functions: tuple[FunctionTool, ...] = ()
    later: Mapping[Hashable, DeveloperText] = field(default_factory=lambda: MappingProxyType({}))
    calls: tuple[CallRule, ...] = ()
    names: Mapping[str, ToolName] = field(default_factory=lambda: MappingProxyType({}))
    public: tuple[JsonObject, ...] = ()
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Entry:
    location: Location
    name: ToolName
    tool: FunctionTool
    call: CallRule

    @property
    def callable(self) -> CallableTool:
        return CallableTool(self.tool, self.call)


def read_tools(
    tools: Sequence[Any] | None, items: Sequence[Item] = (), *, first_of_input: int = 0
) -> ToolTable:
    """Validate ``tools``. Raises InvalidRequest that names the tool.

    Those that ``items`` add join them, unless their names are taken: what leads the conversation
    does so in front, the rest where it stands. The request's own begin at ``first_of_input``.
    """
    entries, public, dropped = _read(tools or (), ("tools",))
    declared = _by_name(entries)
    added = [_entries_of(item, position - first_of_input) for position, item in enumerate(items)]
    front = count_leading(items)
    leading = _latest(added[:front], declared)
    steps = (
        ToolStep(item.id, [Added(entry.callable) for entry in brought])
        for item, brought in zip(items[front:], added[front:], strict=True)
    )
    course = follow_tools(
        [entry.callable for entry in declared.values()],
        steps,
        leading=[entry.callable for entry in leading.values()],
    )
    every = declared | _latest(added, declared)
    return ToolTable(
        functions=course.first,
        later=course.later,
        calls=course.calls,
        names=MappingProxyType({name: entry.name for name, entry in every.items()}),
        public=tuple(public),
        dropped=tuple(dropped),
    )


def check_added_tools(item: RecordItem, location: Location) -> None:
    """Raises InvalidRequest for tools that the item at ``location`` adds and nobody can call."""
    if item.type in _ADDING:
        tools = item.fields.get("tools")
        if not isinstance(tools, list | None):
            raise invalid(to_param((*location, "tools")), "input should be an array")
        _read(tools or (), (*location, "tools"))


def _by_name(entries: Sequence[_Entry]) -> dict[str, _Entry]:
    found: dict[str, _Entry] = {}
    for entry in entries:
        if entry.tool.name in found:
            param = to_param((*entry.location, "name"))
            raise invalid(param, f"the tool '{entry.tool.name}' is declared twice")
        found[entry.tool.name] = entry
    return found


def _latest(added: Sequence[Sequence[_Entry]], declared: Mapping[str, _Entry]) -> dict[str, _Entry]:
    """The latest word on each tool that was ``added`` and is not ``declared``."""
    every = (entry for entries in added for entry in entries)
    return {entry.tool.name: entry for entry in every if entry.tool.name not in declared}


def _entries_of(item: Item, position: int) -> Sequence[_Entry]:
    """The tools that an item adds; ``position`` in ``input`` is below 0 for one of before."""
    if not isinstance(item, RecordItem) or item.type not in _ADDING:
        return ()
    where: Location = ("input", position) if position >= 0 else ("previous_response_id",)
    entries, _, _ = _read(item.fields.get("tools") or (), (*where, "tools"))
    return entries


def _read(
    tools: Sequence[Any], where: Location
) -> tuple[list[_Entry], list[JsonObject], list[str]]:
    """The tools, what is public of them, and the types of those left out."""
    entries: list[_Entry] = []
    public: list[JsonObject] = []
    dropped: list[str] = []
    for position, value in enumerate(tools):
        location: Location = (*where, position)
        match _type_of(value, location):
            case "function" | "custom":
                entry, shown = _read_tool(value, location)
                entries.append(entry)
                public.append(shown)
            case "namespace":
                group = validate(NamespaceParam, value, location)
                parts = list(_read_namespace(group, location))
                entries += [entry for entry, _ in parts]
                public.append(_public_namespace(group, [shown for _, shown in parts]))
            case other:
                dropped.append(other)
    return entries, public, dropped


def _type_of(value: Any, location: Location) -> str:
    if not isinstance(value, dict):
        raise invalid(to_param(location), "input should be an object")
    kind = value.get("type")
    if kind is None:
        raise missing(to_param((*location, "type")))
    if not isinstance(kind, str):
        raise invalid(to_param((*location, "type")), "input should be a string")
    return kind


def _read_tool(
    value: Any, location: Location, namespace: str | None = None
) -> tuple[_Entry, JsonObject]:
    match _type_of(value, location):
        case "function":
            function = validate(FunctionToolParam, value, location)
            name = ToolName(ToolKind.FUNCTION, function.name, namespace)
            tool = FunctionTool(name.flat, function.description, function.parameters)
            call = function_rule(
                name.flat,
                function.parameters,
                strict=function.strict,
                param=to_param((*location, "parameters")),
            )
            return _Entry(location, name, tool, call), _public_function(function)
        case "custom":
            custom = validate(CustomToolParam, value, location)
            name = ToolName(ToolKind.CUSTOM, custom.name, namespace)
            tool = FunctionTool(name.flat, _describe(custom, location), {"type": "string"})
            call = _custom_call(name.flat, custom.format, location)
            return _Entry(location, name, tool, call), custom.model_dump(exclude_none=True)
        case other:
            param = to_param((*location, "type"))
            raise invalid(param, f"a namespace cannot hold a tool of type '{other}'")


def _custom_call(name: str, shape: CustomFormat | None, location: Location) -> CallRule:
    param = to_param((*location, "format", "definition"))
    if shape is None or shape.type == "text":
        return custom_rule(name, None, None, param=param)
    return custom_rule(name, shape.syntax, shape.definition, param=param)


def _read_namespace(
    group: NamespaceParam, location: Location
) -> Iterator[tuple[_Entry, JsonObject]]:
    for position, value in enumerate(group.tools):
        entry, shown = _read_tool(value, (*location, "tools", position), group.name)
        if position == 0 and group.description:
            entry = _introduce(group.description, entry)
        yield entry, shown


def _introduce(description: str, entry: _Entry) -> _Entry:
    """The first tool of a namespace, with the namespace's description above its own."""
    lines = [description, *([entry.tool.description] if entry.tool.description else [])]
    return replace(entry, tool=replace(entry.tool, description="\n".join(lines)))


def _describe(tool: CustomToolParam, location: Location) -> str:
    if tool.format is None or tool.format.type == "text":
        return describe_custom(tool.description, None, None)
    where = (*location, "format")
    if tool.format.syntax is None:
        raise missing(to_param((*where, "syntax")))
    if tool.format.definition is None:
        raise missing(to_param((*where, "definition")))
    return describe_custom(tool.description, tool.format.syntax, tool.format.definition)


def _public_function(function: FunctionToolParam) -> JsonObject:
    return {
        "type": "function",
        "name": function.name,
        "description": function.description,
        "parameters": function.parameters,
        "strict": bool(function.strict),
    }


def _public_namespace(group: NamespaceParam, tools: list[JsonObject]) -> JsonObject:
    return {
        "type": "namespace",
        "name": group.name,
        "description": group.description or "",
        "tools": tools,
    }
