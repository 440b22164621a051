"""The tools of a Responses request, and the names under which the model knows them.

``function`` and ``custom`` tools are shown as functions; those of a ``namespace`` get
one flat name (``crm__lookup``) that is taken apart again on the call. Tools of OpenAI's that
the client runs (``shell``, ``apply_patch``, …) are functions too (``client_run/declared.py``).
Those that this server runs itself are in ``ToolTable.hosted``; an MCP server's are functions too
(``hosted/``). What OpenAI alone can run (``image_generation``, …), or is not enabled here, is left
out and named in ``ToolTable.dropped``.

With a search of the client's, what is declared with ``defer_loading`` waits until a
``tool_search_output`` brings it; else nothing could, and it is shown as the others are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from mlxoss.api.errors import invalid, missing
from mlxoss.api.history.tool_course import Added, CallableTool, ToolStep, follow_tools
from mlxoss.api.hosted.declared import DeclaredMcp, HostedOffer
from mlxoss.api.responses.client_run.declared import (
    CLIENT_KINDS,
    ClientKind,
    ClientTool,
    names_of_client_tools,
    read_client_tool,
)
from mlxoss.api.responses.hosted.declared import (
    HOSTED_TYPES,
    HostedReader,
    to_advice,
)
from mlxoss.api.responses.hosted.mcp_lists import to_function_name
from mlxoss.api.responses.items import Item, RecordItem
from mlxoss.api.responses.items_to_prompt import count_leading
from mlxoss.api.responses.tool_params import (
    CustomFormat,
    CustomToolParam,
    FunctionToolParam,
    NamespaceParam,
)
from mlxoss.api.responses.tool_table import ToolKind, ToolName, ToolTable
from mlxoss.api.turn_rules import custom_rule, describe_custom, function_rule
from mlxoss.api.validation import to_param, validate
from mlxoss.core import JsonObject
from mlxoss.harmony.conversation import FunctionTool
from mlxoss.harmony.grammar.rules import CallRule
from mlxoss.outcomes import McpToolList

Location = tuple[int | str, ...]

_FOUND = "tool_search_output"
_ADDING = frozenset({"additional_tools", _FOUND})
"""Items that give the model tools in the middle of a conversation."""
_NOTHING = HostedOffer()
_NO_LISTS: Mapping[str, McpToolList] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class _Entry:
    location: Location
    name: ToolName
    tool: FunctionTool
    call: CallRule
    is_deferred: bool = False

    @property
    def callable(self) -> CallableTool:
        return CallableTool(self.tool, self.call)

    def renamed(self, name: str) -> _Entry:
        """The same, called by ``name``."""
        if name == self.tool.name:
            return self
        tool, call = replace(self.tool, name=name), replace(self.call, name=name)
        return replace(self, name=replace(self.name, name=name), tool=tool, call=call)


def read_tools(
    tools: Sequence[Any] | None,
    items: Sequence[Item] = (),
    *,
    first_of_input: int = 0,
    offer: HostedOffer = _NOTHING,
    mcp: Mapping[str, McpToolList] = _NO_LISTS,
) -> ToolTable:
    """Validate ``tools``. Raises InvalidRequest that names the tool.

    Those that ``items`` add join them, unless their names are taken: what leads the conversation
    does so in front, the rest where it stands. The request's own begin at ``first_of_input``.
    ``offer`` is what this server runs, ``mcp`` what the servers of these labels have
    (``hosted.declared.read_mcp`` tells which are wanted).
    """
    hosted = HostedReader(offer)
    entries, public, dropped = _read(tools or (), ("tools",), hosted)
    read = (_entries_of(item, position - first_of_input) for position, item in enumerate(items))
    client_run, (entries, *added) = _name_client_tools([entries, *read])
    taken = {entry.tool.name for one in (entries, *added) for entry in one}
    entries += _mcp_entries(hosted.declared.mcp, mcp, taken.union(client_run.values()))
    declared, front = _by_name(entries), count_leading(items)
    if _has_search([entries, *added]):
        added = [_at_once(one, item) for one, item in zip(added, items, strict=True)]
        held = _held(declared, added[:front])
    else:
        held = {}
    leading = _latest(added[:front], declared)
    steps = (
        ToolStep(item.id, [Added(entry.callable) for entry in brought])
        for item, brought in zip(items[front:], added[front:], strict=True)
    )
    course = follow_tools(
        [entry.callable for name, entry in declared.items() if name not in held],
        steps,
        deferred=[entry.callable for entry in held.values()],
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
        client_run=client_run,
        held=frozenset(held).difference(call.name for call in course.calls),
        hosted=hosted.declared,
        advice=to_advice(offer),
    )


def check_added_tools(item: RecordItem, location: Location) -> None:
    """Raises InvalidRequest for tools that the item at ``location`` adds and nobody can call."""
    if item.type in _ADDING:
        tools = item.fields.get("tools")
        if not isinstance(tools, list | None):
            raise invalid(to_param((*location, "tools")), "input should be an array")
        _read(tools or (), (*location, "tools"))


def _name_client_tools(
    lists: Sequence[Sequence[_Entry]],
) -> tuple[Mapping[ClientKind, str], list[list[_Entry]]]:
    """The names of the client's tools among all the others', and the ``lists`` with them."""
    every = [entry for entries in lists for entry in entries]
    taken = {entry.tool.name for entry in every if not entry.name.kind.is_client_run}
    names = names_of_client_tools(taken)
    by_kind = {ToolKind(kind): name for kind, name in names.items()}
    return names, [
        [entry.renamed(by_kind.get(entry.name.kind, entry.tool.name)) for entry in entries]
        for entries in lists
    ]


def _has_search(lists: Sequence[Sequence[_Entry]]) -> bool:
    return any(entry.name.kind is ToolKind.TOOL_SEARCH for one in lists for entry in one)


def _at_once(entries: Sequence[_Entry], item: Item) -> list[_Entry]:
    """Those that ``item`` brings: what a search found is not held back any more."""
    return [entry for entry in entries if item.type == _FOUND or not entry.is_deferred]


def _held(declared: Mapping[str, _Entry], leading: Sequence[Sequence[_Entry]]) -> dict[str, _Entry]:
    """Those ``declared`` that are held back, and that nothing in front brings."""
    brought = {entry.tool.name for entries in leading for entry in entries}
    return {
        name: entry for name, entry in declared.items() if entry.is_deferred and name not in brought
    }


def _by_name(entries: Sequence[_Entry]) -> dict[str, _Entry]:
    found: dict[str, _Entry] = {}
    for entry in entries:
        if entry.tool.name in found:
            field = "type" if entry.name.kind.is_client_run else "name"
            param = to_param((*entry.location, field))
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


def _mcp_entries(
    servers: Sequence[DeclaredMcp], lists: Mapping[str, McpToolList], taken: set[str]
) -> Iterator[_Entry]:
    """The tools of MCP servers that may be called, by names that are not ``taken``."""
    for server in servers:
        offered = lists.get(server.label, McpToolList()).tools
        allowed = [one for one in offered if server.allowed is None or server.allowed.takes(one)]
        for position, tool in enumerate(allowed):
            flat = to_function_name(server.label, tool.name, taken)
            taken.add(flat)
            asks = server.approvals.asks_for(tool)
            name = ToolName(ToolKind.MCP, tool.name, server.label, needs_approval=asks)
            shown = FunctionTool(flat, tool.description, tool.input_schema)
            call = function_rule(flat, tool.input_schema, strict=None, param="tools")
            entry = _Entry(("tools",), name, shown, call)
            is_first = position == 0 and server.description
            yield _introduce(server.description or "", entry) if is_first else entry


def _read(
    tools: Sequence[Any], where: Location, hosted: HostedReader | None = None
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
            case kind if kind in CLIENT_KINDS and (tool := read_client_tool(value, location)):
                entries.append(_entry_of_client_tool(tool, location))
                public.append(tool.public)
            case kind if (
                hosted is not None
                and kind in HOSTED_TYPES
                and (ours := hosted.read(value, location)) is not None
            ):
                public.append(ours.public)
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


def _entry_of_client_tool(tool: ClientTool, location: Location) -> _Entry:
    read = tool.named(tool.kind, location)
    return _Entry(location, ToolName(ToolKind(tool.kind), tool.kind), read.shown, read.rule)


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
            entry = _Entry(location, name, tool, call, bool(function.defer_loading))
            return entry, _public_function(function)
        case "custom":
            custom = validate(CustomToolParam, value, location)
            name = ToolName(ToolKind.CUSTOM, custom.name, namespace)
            tool = FunctionTool(name.flat, _describe(custom, location), {"type": "string"})
            call = _custom_call(name.flat, custom.format, location)
            entry = _Entry(location, name, tool, call, bool(custom.defer_loading))
            return entry, custom.model_dump(exclude_none=True)
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
    shown: JsonObject = {
        "type": "function",
        "name": function.name,
        "description": function.description,
        "parameters": function.parameters,
        "strict": bool(function.strict),
    }
    return (
        shown
        if function.defer_loading is None
        else shown | {"defer_loading": function.defer_loading}
    )


def _public_namespace(group: NamespaceParam, tools: list[JsonObject]) -> JsonObject:
    return {
        "type": "namespace",
        "name": group.name,
        "description": group.description or "",
        "tools": tools,
    }
