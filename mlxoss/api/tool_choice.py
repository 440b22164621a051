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
    """The functions that may be called, and whether one must be."""

    calls: tuple[CallRule, ...]
    must_call: bool = False

    def is_restricted(self, declared: Sequence[CallRule]) -> bool:
        """Whether the model has less than its free choice among the ``declared`` functions."""
        return self.must_call or len(self.calls) < len(declared)


@dataclass(frozen=True, slots=True)
class OtherTools:
    """What may be named besides functions that can be called by their own names.

    ``by_type`` are tools without a name, as ``{"type": "shell"}``, and how the model knows them;
    ``held`` are functions that cannot be called yet.
    """

    by_type: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    held: frozenset[str] = frozenset()


_NO_OTHERS = OtherTools()


def read_tool_choice(
    value: Any, declared: Sequence[CallRule], others: OtherTools = _NO_OTHERS
) -> ToolChoice:
    """Read ``tool_choice`` against the functions ``declared`` by the request's ``tools``.

    Raises InvalidRequest for an unknown form, a tool that is not declared or served, and for a
    call that must be made without any function to call.
    """
    everything = tuple(declared)
    match value:
        case None | "auto":
            return ToolChoice(everything)
        case "none":
            return ToolChoice(())
        case "required":
            return _must_call(everything)
        case {"type": "allowed_tools"}:
            return _read_allowed(value, everything, others)
        case {"type": "function" | "custom"}:
            return _must_call((_find(value, everything, "tool_choice", others),))
        case {"type": str(kind)} if kind in others.by_type:
            return _must_call(tuple(one for one in everything if one.name == others.by_type[kind]))
        case {"type": str(kind)} | str(kind) if kind in _MEANT:
            raise unsupported("tool_choice", f"here it is {_MEANT[kind]}")
        case {"type": str(kind)} | str(kind):
            raise unsupported("tool_choice", f"this server has no tool '{kind}'")
    raise invalid("tool_choice", "input should be a word or an object with a type")


def _must_call(calls: tuple[CallRule, ...]) -> ToolChoice:
    if not calls:
        raise invalid("tool_choice", "a call is required, but there is no function to call")
    return ToolChoice(calls, must_call=True)


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
    return _must_call(calls) if mode == "required" else ToolChoice(calls)


def _read_names(
    tools: Sequence[Any], declared: Sequence[CallRule], param: str, others: OtherTools
) -> Iterator[str]:
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
