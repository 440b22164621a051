"""Definitions in Lark or as a regular expression that come from a request."""

from __future__ import annotations

import re

from llguidance import regex_to_lark

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
