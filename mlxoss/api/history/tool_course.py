"""Which functions the model knows at which point of a conversation, and may call at its end.

A client may bring tools late: it holds some back until a search finds them, and adds or removes
others as its servers come and go. Those of the beginning stand in front of the whole prompt. What
comes later is told where it comes, so that all that was computed before is still of use: showing
it in front would have the whole conversation computed anew. What is removed stays shown, with a
word at that point, and the grammar has no call of it any more.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from mlxoss.harmony.conversation import DeveloperText, FunctionTool
from mlxoss.harmony.grammar.rules import CallRule

_REMOVED = "From here on these functions cannot be called: "
_NONE: Mapping[Hashable, DeveloperText] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class CallableTool:
    """A function as the prompt shows it, and what may be written to it."""

    shown: FunctionTool
    rule: CallRule

    @property
    def name(self) -> str:
        """By which the model calls it."""
        return self.shown.name


@dataclass(frozen=True, slots=True)
class Added:
    """A tool that may be called from here on: by name, or one that is new."""

    tool: CallableTool | str


@dataclass(frozen=True, slots=True)
class Removed:
    """A tool that may not be called from here on."""

    name: str


@dataclass(frozen=True, slots=True)
class ToolStep:
    """What happens to tools at one ``place``, in order."""

    place: Hashable
    changes: Sequence[Added | Removed]


@dataclass(frozen=True, slots=True)
class ToolCourse:
    """What became of a conversation's tools.

    ``first`` are shown in front, ``later`` is told at its place; ``calls`` may be made now.
    ``known`` are the names of all that were declared or added.
    """

    first: tuple[FunctionTool, ...] = ()
    later: Mapping[Hashable, DeveloperText] = field(default_factory=lambda: _NONE)
    calls: tuple[CallRule, ...] = ()
    known: frozenset[str] = frozenset()

    def hidden(self) -> ToolCourse:
        """The same without anything to show, for a turn that may call nothing."""
        return replace(self, first=(), later=_NONE)


def follow_tools(
    first: Sequence[CallableTool],
    steps: Iterable[ToolStep],
    *,
    deferred: Sequence[CallableTool] = (),
    leading: Sequence[CallableTool] = (),
) -> ToolCourse:
    """The course of tools from ``first``; those ``deferred`` are known, but not yet there.

    These two have the last word on their names: a tool that is added under one is theirs. Those
    ``leading`` have other names and stand in front too, but were added: a later word on one goes.
    A name that nobody knows changes nothing: a server may be gone whose tools were found once.
    """
    front = (*first, *leading)
    declared = {tool.name: tool for tool in (*first, *deferred)}
    known = declared | {tool.name: tool for tool in leading}
    there = {tool.name: tool for tool in front}
    later: dict[Hashable, DeveloperText] = {}
    for step in steps:
        before = dict(there)
        for change in step.changes:
            match change:
                case Removed(name):
                    there.pop(name, None)
                case Added(str(name)):
                    if name in known:
                        there[name] = known[name]
                case Added(CallableTool() as tool):
                    known[tool.name] = there[tool.name] = declared.get(tool.name, tool)
        if there != before:
            later[step.place] = _tell(before, there)
    return ToolCourse(
        first=tuple(tool.shown for tool in front),
        later=MappingProxyType(later),
        calls=tuple(tool.rule for tool in there.values()),
        known=frozenset(known),
    )


def _tell(before: Mapping[str, CallableTool], there: Mapping[str, CallableTool]) -> DeveloperText:
    gone = ", ".join(name for name in before if name not in there)
    new = tuple(tool.shown for name, tool in there.items() if before.get(name) != tool)
    return DeveloperText(f"{_REMOVED}{gone}." if gone else "", new)
