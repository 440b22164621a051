"""JSON as a format of settings files, with the comments and last commas that editors allow.

It is read by Python's own parser, comments blanked. To edit, the spans of all values are found
(``json_spans``), and text is put in or cut out between them: nothing else moves.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from mlxoss.cli.connect.json_spans import Member, Span, scan, without_comments
from mlxoss.cli.connect.values import Change, Drop, Item, Key, Put, Settings, build, is_same, look

_LAST_COMMA = re.compile(r'"(?:\\.|[^"\\])*"|,(?=\s*[}\]])')
_UNIT = "  "


class JsonFormat:
    """A file that holds a table, or with ``root`` a list."""

    name = "JSON"

    def __init__(self, root: type[dict[str, Any]] | type[list[Any]] = dict) -> None:
        self._root = root

    def read(self, text: str) -> Settings:
        """See ``Format``."""
        plain = without_comments(text)
        if not plain.strip():
            return self._root()
        found = json.loads(_LAST_COMMA.sub(lambda m: " " if m[0] == "," else m[0], plain))
        if not isinstance(found, self._root):
            raise ValueError(f"it holds no {'object' if self._root is dict else 'array'}")
        return found

    def propose(self, text: str, changes: Sequence[Change]) -> Iterator[str]:
        """New lines below the last value's, else right behind it.

        What follows a value on its line may be a comment that goes on.
        """
        if not without_comments(text).strip():
            text += "{}\n" if self._root is dict else "[]\n"
        for is_below in (True, False):
            try:
                yield self._edit(text, changes, is_below=is_below)
            except (ValueError, LookupError, RecursionError):  # a text that it cannot edit is none
                continue

    def _edit(self, text: str, changes: Sequence[Change], *, is_below: bool) -> str:
        for change in changes:
            if isinstance(change, Drop):
                text = _drop(text, change.keys)
            elif not is_same(look(self.read(text), change.keys), change.value):
                text = _put(text, change, is_below=is_below)
        return text


def _put(text: str, put: Put, *, is_below: bool) -> str:
    at, depth = scan(text), 0
    while depth < len(put.keys) and (found := at.find(put.keys[depth])) is not None:
        at, depth = found.span, depth + 1
    rest = put.keys[depth:]
    if rest and at.is_container:
        return _insert(text, at, _Piece.of(rest, put.value), is_below=is_below)
    indent = _indent_of_line(text, at.start)
    value = build((put.keys[depth - 1], *rest), put.value)
    return text[: at.start] + _dump(value, indent, _unit(text)) + text[at.end :]


class _Piece:
    """A member to be put into a container: its name, ``None`` in a list, and its value."""

    def __init__(self, name: str | None, value: Any) -> None:
        self.name, self.value = name, value

    @classmethod
    def of(cls, keys: Sequence[Key], value: Any) -> _Piece:
        first = keys[0]
        name = None if isinstance(first, Item) else first
        return cls(name, build(tuple(keys), value))

    def lines(self, indent: str, unit: str) -> str:
        """Its text, whose later lines begin with ``indent``, and go in by ``unit``."""
        return self._head() + _dump(self.value, indent, unit)

    def line(self) -> str:
        """Its text in one line."""
        return self._head() + json.dumps(self.value, ensure_ascii=False)

    def _head(self) -> str:
        return "" if self.name is None else json.dumps(self.name, ensure_ascii=False) + ": "


def _insert(text: str, at: Span, piece: _Piece, *, is_below: bool) -> str:
    unit = _unit(text)
    if not at.members:
        outer = _indent_of_line(text, at.start)
        rest = text[at.start + 1 :]
        tail = f"\n{outer}" if rest.startswith(("}", "]")) else ""
        inner = outer + unit
        return f"{text[: at.start + 1]}\n{inner}{piece.lines(inner, unit)}{tail}{rest}"
    last = at.members[-1]
    indent = _own_indent(text, last.start)
    if indent is None:
        return f"{text[: last.span.end]}, {piece.line()}{text[last.span.end :]}"
    end = last.span.end if last.comma is None else last.comma + 1
    comma = "," if last.comma is None else ""
    below = _end_of_line(text, end, at.end - 1) if is_below else end
    more = f"\n{indent}{piece.lines(indent, unit)}{'' if comma else ','}"
    return text[:end] + comma + text[end:below] + more + text[below:]


def _drop(text: str, keys: Sequence[Key]) -> str:
    at = scan(text)
    for key in keys[:-1]:
        if (found := at.find(key)) is None:
            return text
        at = found.span
    if (gone := at.find(keys[-1])) is None:
        return text
    if len(at.members) == 1:
        return f"{text[: at.start + 1]}{text[at.end - 1 :]}"
    return _cut(text, at, gone)


def _cut(text: str, at: Span, gone: Member) -> str:
    """Without a member that has neighbours; with its lines, if these hold nothing else."""
    number = at.members.index(gone)
    begin = gone.start
    end = gone.span.end if gone.comma is None else gone.comma + 1
    line_end = _end_of_line(text, end, at.end - 1)
    if _own_indent(text, begin) is not None and text[line_end : line_end + 1] == "\n":
        begin, end = text.rindex("\n", 0, begin), line_end
    elif gone.comma is not None:
        end += len(text[end:]) - len(text[end:].lstrip(" "))
    before = text[:begin]
    if gone.comma is None and (comma := at.members[number - 1].comma) is not None:
        before = text[:comma] + text[comma + 1 : begin].rstrip(" ")
    return before + text[end:]


def _dump(value: Any, indent: str, unit: str) -> str:
    return json.dumps(value, ensure_ascii=False, indent=unit).replace("\n", f"\n{indent}")


def _unit(text: str) -> str:
    """What the file's first member goes in by."""
    members = scan(text).members
    return (members and _own_indent(text, members[0].start)) or _UNIT


def _indent_of_line(text: str, at: int) -> str:
    line = text[text.rfind("\n", 0, at) + 1 :]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _own_indent(text: str, at: int) -> str | None:
    """The indent of what begins its line at ``at``; ``None`` where something stands before."""
    begin = text.rfind("\n", 0, at) + 1
    return None if text[begin:at].strip(" \t") or not begin else text[begin:at]


def _end_of_line(text: str, at: int, limit: int) -> int:
    """Where the line of ``at`` ends, if nothing but comments follow there; else ``at``."""
    end = text.find("\n", at, limit)
    if end < 0:
        return at
    return at if without_comments(text)[at:end].strip() else end
