"""``tool_choice``: which calls a turn may, must or must not hold. Chat's and Responses' forms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from mlxoss.api.errors import invalid, unsupported
from mlxoss.api.params import flatten
from mlxoss.core import JsonMapping
from mlxoss.harmony.grammar.rules import CallRule

_NAMED = ("function", "custom")

_MEANT: MappingProxyType[str, str] = MappingProxyType(
    {
        "auto": "the word 'auto' alone",
        "none": "the word 'none' alone",
        "required": "the word 'required' alone",
        "any": "the word 'required'",
        "tool": "an object of the type 'function' with a name",
    }
)
"""What stands here for the types of Anthropic's ``tool_choice``, and for words made into types."""


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """The functions and the built-in tools that may be called, and whether one must be."""

    calls: tuple[CallRule, ...]
    must_call: bool = False
    builtins: tuple[str, ...] = ()

    def is_restricted(self, declared: Sequence[CallRule], others: OtherTools | None = None) -> bool:
        """Whether the model has less than its free choice among the ``declared`` functions and the
        built-in tools of ``others``."""
        builtins = others.builtin_names if others else ()
        is_less = len(self.calls) < len(declared) or len(self.builtins) < len(builtins)
        return self.must_call or is_less


@dataclass(frozen=True, slots=True)
class OtherTools:
    """What may be named besides functions that can be called by their own names.

    ``by_type`` are tools without a name, as ``{"type": "shell"}``, and how the model knows them;
    ``held`` are functions that cannot be called yet. ``builtins`` are the model's built-in tools by
    the types that name them, ``servers`` the functions of MCP servers by label and name. ``advice``
    says, by its type, why a tool cannot be called that a server like this one may run.
    """

    by_type: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    held: frozenset[str] = frozenset()
    builtins: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    servers: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: MappingProxyType({}))
    advice: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def builtin_names(self) -> tuple[str, ...]:
        """The built-in tools, each once."""
        return tuple(dict.fromkeys(self.builtins.values()))


NO_OTHERS = OtherTools()


def read_tool_choice(
    value: Any, declared: Sequence[CallRule], others: OtherTools = NO_OTHERS
) -> ToolChoice:
    """Read ``tool_choice`` against the functions ``declared`` by the request's ``tools``.

    Raises InvalidRequest for an unknown form, a tool that is not declared or served, and for a
    call that must be made without any function to call.
    """
    everything = tuple(declared)
    match value:
        case None | "auto":
            return ToolChoice(everything, builtins=others.builtin_names)
        case "none":
            return ToolChoice(())
        case "required":
            return _must_call(everything, others.builtin_names)
        case {"type": str()}:
            return _read_object(value, everything, others)
        case str(word):
            raise unsupported("tool_choice", _not_here(word, others))
    raise invalid("tool_choice", "input should be a word or an object with a type")


def _read_object(
    value: JsonMapping, declared: tuple[CallRule, ...], others: OtherTools
) -> ToolChoice:
    match value["type"]:
        case "allowed_tools":
            return _read_allowed(value, declared, others)
        case "function" | "custom":
            return _must_call((_find(value, declared, "tool_choice", others),))
        case "mcp" if others.servers:
            names = set(_functions_of_server(value, "tool_choice", others))
        case kind if kind in others.builtins:
            return _must_call((), (others.builtins[kind],))
        case kind if kind in others.by_type:
            names = {others.by_type[kind]}
        case kind:
            raise unsupported("tool_choice", _not_here(kind, others))
    return _must_call(tuple(one for one in declared if one.name in names))


def _not_here(kind: str, others: OtherTools) -> str:
    if kind in _MEANT:
        return f"here it is {_MEANT[kind]}"
    return others.advice.get(kind, f"this server has no tool '{kind}'")


def _must_call(calls: tuple[CallRule, ...], builtins: tuple[str, ...] = ()) -> ToolChoice:
    if not calls and not builtins:
        raise invalid("tool_choice", "a call is required, but there is no function to call")
    return ToolChoice(calls, must_call=True, builtins=builtins)


def _functions_of_server(tool: JsonMapping, param: str, others: OtherTools) -> Iterator[str]:
    """The functions that ``{"type": "mcp"}`` names: of one server or all, all of them or one."""
    label, wanted = tool.get("server_label"), tool.get("name")
    if label is not None and label not in list(others.servers):
        raise invalid(f"{param}.server_label", "no server among 'tools' has this label")
    servers = others.servers.values() if label is None else (others.servers[label],)
    names = [name for one in servers for tool, name in one.items() if wanted in (None, tool)]
    if wanted is not None and not names:
        raise invalid(f"{param}.name", "the server has no such tool, or it is not allowed")
    yield from names


def _read_allowed(
    value: JsonMapping, declared: Sequence[CallRule], others: OtherTools
) -> ToolChoice:
    """Chat nests what Responses writes side by side."""
    inner, param = value.get("allowed_tools"), "tool_choice"
    if isinstance(inner, Mapping):
        value, param = inner, "tool_choice.allowed_tools"
    mode, tools = value.get("mode", "auto"), value.get("tools")
    if mode not in ("auto", "required"):
        raise invalid(f"{param}.mode", "input should be 'auto' or 'required'")
    if not isinstance(tools, list):
        raise invalid(f"{param}.tools", "input should be an array")
    named = set(_read_names(tools, declared, f"{param}.tools", others))
    calls = tuple(call for call in declared if call.name in named)
    kinds = [tool.get("type") for tool in tools]
    chosen = [name for kind, name in others.builtins.items() if kind in kinds]
    builtins = tuple(name for name in others.builtin_names if name in chosen)
    if mode == "required":
        return _must_call(calls, builtins)
    return ToolChoice(calls, builtins=builtins)


def _read_names(
    tools: Sequence[Any], declared: Sequence[CallRule], param: str, others: OtherTools
) -> Iterator[str]:
    """The names of the functions among ``tools``; the built-in tools have none."""
    for position, tool in enumerate(tools):
        where = f"{param}[{position}]"
        if not isinstance(tool, Mapping):
            raise invalid(where, "input should be an object")
        kind = tool.get("type", "function")
        # Those that OpenAI runs itself were left out of the prompt: they stay uncalled.
        if kind in _NAMED:
            if _wanted(tool, where) not in others.held:
                yield _find(tool, declared, where, others).name
        elif isinstance(kind, str) and kind in others.by_type:
            yield others.by_type[kind]
        elif kind == "mcp" and others.servers:
            yield from _functions_of_server(tool, where, others)


def _find(
    tool: JsonMapping, declared: Sequence[CallRule], param: str, others: OtherTools
) -> CallRule:
    wanted = _wanted(tool, param)
    if wanted in others.held:
        raise invalid(param, f"the tool '{wanted}' is held back until a search brings it")
    for call in declared:
        if call.name == wanted and wanted not in others.by_type.values():
            return call
    raise invalid(param, f"the tool '{wanted}' is not among 'tools'")


def _wanted(tool: JsonMapping, param: str) -> str:
    inner = tool.get(tool.get("type", "function"))
    named = inner if isinstance(inner, Mapping) else tool
    name, namespace = named.get("name"), named.get("namespace")
    if not isinstance(name, str):
        raise invalid(f"{param}.name", "input should be a string")
    return flatten(name, namespace if isinstance(namespace, str) else None)
