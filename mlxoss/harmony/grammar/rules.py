"""What one assistant turn may consist of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mlxoss.harmony.conversation import JsonSchema

WHITESPACE = r"[ \t]|\r?\n[ \t]{0,64}"
"""Between JSON's tokens, at most once in each place: compact or indented, but never endless."""


@dataclass(frozen=True, slots=True)
class FreeText:
    """Any ordinary tokens."""


@dataclass(frozen=True, slots=True)
class Json:
    """JSON that follows ``schema``; properties come in the schema's order."""

    schema: JsonSchema


@dataclass(frozen=True, slots=True)
class Lark:
    """Text of a context-free grammar in llguidance's dialect of Lark."""

    definition: str


@dataclass(frozen=True, slots=True)
class Regex:
    """Text that a regular expression matches as a whole: Rust's syntax, no look-around."""

    pattern: str


Body = FreeText | Json | Lark | Regex


ANY_OBJECT = Json({"type": "object"})
"""What arguments are in any case."""


@dataclass(frozen=True, slots=True)
class CallRule:
    """A function that may be called. ``param`` is the request's field that ``body`` is from.

    One that is not ``is_strict`` may be called with any object where ``body`` cannot be enforced.
    """

    name: str
    body: Body
    param: str = "tools"
    is_strict: bool = True


@dataclass(frozen=True, slots=True)
class BuiltinRule:
    """A built-in tool that may be called: by ``recipient``, with ``body`` (code or JSON)."""

    recipient: str
    body: Body
    param: str = "tools"


@dataclass(frozen=True, slots=True)
class TurnRules:
    """What one turn may hold.

    ``calls`` are the functions that may be called, ``builtins`` the built-in tools; with
    ``must_call`` at least one of either is, before any final. ``parallel_calls`` lets a function's
    call end with ``<|end|>`` and more of the turn follow; without it the first call ends the turn,
    as a built-in's call always does. ``final`` is the form of the answer, ``final_param`` the
    request's field that it is from.
    """

    calls: tuple[CallRule, ...] = ()
    must_call: bool = False
    parallel_calls: bool = True
    preambles: bool = False
    final: Body = FreeText()
    final_param: str = "response_format"
    builtins: tuple[BuiltinRule, ...] = ()

    def __post_init__(self) -> None:
        if self.must_call and not (self.calls or self.builtins):
            raise ValueError("a turn that must call needs a function to call, or a built-in tool")

    def bodies(self) -> Iterator[tuple[str, Body]]:
        """Every body with the request's field that it is from."""
        yield self.final_param, self.final
        for call in self.calls:
            yield call.param, call.body
        for builtin in self.builtins:
            yield builtin.param, builtin.body
