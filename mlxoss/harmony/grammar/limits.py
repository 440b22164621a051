"""What a JSON schema may ask of the machine that enforces it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from llguidance import regex_to_lark

from mlxoss.core import JsonObject

MOST_REMAINDERS = 50_000
MOST_OPTIONAL = 500


def refuse_schema(schema: Any) -> str | None:
    """Why ``schema`` would take too long to compile or to follow, ``None`` if it does not."""
    if any(_count_optional(members) > MOST_OPTIONAL for members in _objects(schema)):
        # Each may come next to each: beyond a few hundred a token takes milliseconds.
        return f"an object has more than {MOST_OPTIONAL} optional properties"
    return _refuse_multiples(schema)


def _count_optional(members: JsonObject) -> int:
    properties, required = members.get("properties"), members.get("required")
    named = set(required) if isinstance(required, list) and _all_text(required) else set()
    return len(properties.keys() - named) if isinstance(properties, dict) else 0


def _all_text(values: list[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def _refuse_multiples(schema: Any) -> str | None:
    """Why the schema's ``multipleOf`` cannot be enforced, ``None`` if they can.

    An automaton has a state per remainder, and as many as their least common multiple where
    several hold for one number: 50,000 take half a second to build.
    """
    factors = [Decimal(str(value)).normalize() for value in _multiples(schema)]
    if not all(factor.is_finite() and factor > 0 for factor in factors):
        return None  # malformed: compiling it tells
    least = min((_exponent(factor) for factor in factors), default=0)
    if any(factor.adjusted() - least > len(str(MOST_REMAINDERS)) for factor in factors):
        return _too_many()
    if math.lcm(*(int(factor.scaleb(-least)) for factor in factors)) > MOST_REMAINDERS:
        return _too_many()
    return None


def _exponent(factor: Decimal) -> int:
    exponent = factor.as_tuple().exponent
    return min(0, exponent) if isinstance(exponent, int) else 0


def _multiples(schema: Any) -> Iterator[int | float]:
    """Every number under that name, also where it is not a keyword: those are rare and small."""
    for members in _objects(schema):
        value = members.get("multipleOf")
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield value


def _objects(schema: Any) -> Iterator[JsonObject]:
    stack = [schema]
    while stack:
        match stack.pop():
            case dict() as members:
                yield members
                stack.extend(members.values())
            case list() as values:
                stack.extend(values)


def _too_many() -> str:
    return f"its multipleOf together have more than {MOST_REMAINDERS} remainders"


_PIECES = re.compile(
    r"""
      //[^\n]* | \#[^\n]*                # a comment
    | "(?:\\.|[^"\\\n])*"                # a string
    | /(?:\\.|[^/\\\n])+/                # a regular expression
    | (?P<token> < ) | (?P<grammar> @ ) | (?P<option> %llguidance )
    """,
    re.VERBOSE | re.DOTALL,
)

_REASONS = {
    "token": "it names a special token, which only the message's frame may hold",
    "grammar": "it refers to another grammar",
    "option": "it sets options of llguidance",
}


def refuse_definition(definition: str) -> str | None:
    """Why a Lark definition may not stand inside a message, ``None`` if it may.

    Outside strings, regular expressions and comments ``<`` only names special tokens and ``@``
    only other grammars (guidance-ai/llguidance ``docs/syntax.md``).
    """
    for piece in _PIECES.finditer(definition):
        if piece.lastgroup is not None:
            return _REASONS[piece.lastgroup]
    return None


def to_definition(pattern: str) -> str:
    """A Lark definition of what ``pattern`` matches as a whole, in Rust's syntax for patterns."""
    return f"start: /{regex_to_lark(pattern, '')}/\n"
