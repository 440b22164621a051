"""Where values stand in a text of JSON with comments."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

from mlxoss.cli.connect.values import Item, Key

_COMMENT = re.compile(r'"(?:\\.|[^"\\])*"|//[^\n]*|/\*.*?\*/', re.DOTALL)
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class Span:
    """A value from ``start`` to before ``end``; ``value`` is there if it holds no others."""

    start: int
    end: int
    value: object = None
    members: list[Member] = field(default_factory=list)
    is_container: bool = False

    def find(self, key: Key) -> Member | None:
        """The last member of that name, which is the one that counts, or the first such element."""
        if isinstance(key, Item):
            return next((each for each in self.members if each.is_item(key)), None)
        return next((each for each in reversed(self.members) if each.name == key), None)


@dataclass(frozen=True, slots=True)
class Member:
    """A value in another, which begins at ``start`` with its name; ``comma`` follows it."""

    name: str | None
    start: int
    span: Span
    comma: int | None

    def is_item(self, key: Item) -> bool:
        """Whether this is the element that ``key`` names."""
        found = self.span.find(key.field)
        return found is not None and found.span.value == key.value


def without_comments(text: str) -> str:
    """The text with blanks for comments, as long as before and in as many lines."""

    def blank(found: re.Match[str]) -> str:
        return found[0] if found[0].startswith('"') else re.sub(r"[^\n]", " ", found[0])

    return _COMMENT.sub(blank, text)


def scan(text: str) -> Span:
    """The whole. Raises ``ValueError`` or ``LookupError`` for what is no such text."""
    return _scan(without_comments(text), 0)


def _scan(text: str, at: int) -> Span:
    at = _skip(text, at)
    if text[at] not in "{[":
        value, end = _DECODER.raw_decode(text, at)
        return Span(at, end, value)
    start, has_names, members = at, text[at] == "{", []
    at = _skip(text, at + 1)
    while text[at] not in "}]":
        member = _scan_member(text, at, has_names)
        members.append(member)
        at = _skip(text, member.span.end if member.comma is None else member.comma + 1)
    return Span(start, at + 1, None, members, is_container=True)


def _scan_member(text: str, start: int, has_names: bool) -> Member:
    name, at = _DECODER.raw_decode(text, start) if has_names else (None, start)
    if has_names:
        at = _skip(text, at) + 1  # behind the colon
    span = _scan(text, at)
    end = _skip(text, span.end)
    return Member(name, start, span, end if text[end] == "," else None)


def _skip(text: str, at: int) -> int:
    while text[at] in " \t\r\n":
        at += 1
    return at
