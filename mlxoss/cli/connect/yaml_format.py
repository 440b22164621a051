"""YAML as a format of settings files.

ruamel.yaml reads them, by YAML 1.2 as most clients do, and says where each value begins and ends.
To edit, whole lines are put in or cut out between them; what stands in braces or brackets is
changed within them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import CollectionNode, MappingNode, SequenceNode

from mlxoss.cli.connect.values import Change, Drop, Item, Key, Put, Settings, build, is_same, look

_FLOW = {dict: "{}", list: "[]"}
_BARE = re.compile(r"[A-Za-z][\w./-]*(:[\w./-]+)*")
_MEANT = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}
"""What is no text, in one version of YAML or another."""


class YamlFormat:
    """A file of one document that holds a table, or with ``root`` a list."""

    name = "YAML"

    def __init__(self, root: type[dict[str, Any]] | type[list[Any]] = dict) -> None:
        self._root = root

    def read(self, text: str) -> Settings:
        """See ``Format``."""
        try:
            found = _reader().load(text)
        except YAMLError as error:
            raise ValueError(" ".join(str(error).split())) from None
        if found is None:
            return self._root()
        if not isinstance(found, self._root):
            raise ValueError(f"it holds no {'mapping' if self._root is dict else 'sequence'}")
        return found

    def propose(self, text: str, changes: Sequence[Change]) -> Iterator[str]:
        """One: the lines that are put in stand below the last that is like them."""
        if text and not text.endswith("\n"):
            text += "\n"
        try:
            for change in changes:
                if isinstance(change, Drop):
                    text = _drop(text, change.keys)
                elif not is_same(look(self.read(text), change.keys), change.value):
                    text = _put(text, change)
        except (YAMLError, ValueError, LookupError, RecursionError):
            return  # a text that it cannot edit is none
        yield text


def _put(text: str, put: Put) -> str:
    at, depth, above = _reader().compose(text), 0, None
    while at is not None and depth < len(put.keys):
        if (found := _find(at, put.keys[depth])) is None:
            break
        above, at, depth = at, found, depth + 1
    rest = put.keys[depth:]
    if at is None:
        return text + _lines(rest, put.value, "")
    begin, end = _span(text, at, above)
    if not rest:
        space = " " if text[:begin].endswith(":") else ""
        return text[:begin] + space + _in_line(put.value) + text[end:]
    if isinstance(at, CollectionNode) and at.value:
        if at.flow_style:
            return _into_braces(text, at, rest, put.value)
        return _below(text, _end(at), _lines(rest, put.value, " " * at.start_mark.column))
    # Nothing, null, {} or [] stands there.
    indent = " " * (above.start_mark.column + 2) if above is not None else ""
    text = text[:begin].rstrip(" ") + text[end:]
    return _below(text, len(text[:begin].rstrip(" ")), _lines(rest, put.value, indent))


def _span(text: str, at: Any, above: Any) -> tuple[int, int]:
    """Where a value stands; what is left out stands right behind its name's colon."""
    begin, end = at.start_mark.index, at.end_mark.index
    if begin == end and (name := next((n for n, v in _pairs(above) if v is at), None)) is not None:
        begin = end = text.index(":", name.end_mark.index) + 1
    return begin, end


def _into_braces(text: str, at: Any, rest: Sequence[Key], value: Any) -> str:
    end = at.value[-1][1].end_mark if isinstance(at, MappingNode) else at.value[-1].end_mark
    return f"{text[: end.index]}, {_in_line(_whole(rest, value))[1:-1]}{text[end.index :]}"


def _drop(text: str, keys: Sequence[Key]) -> str:
    at, above = _reader().compose(text), None
    for key in keys[:-1]:
        if at is None or (found := _find(at, key)) is None:
            return text
        above, at = at, found
    if at is None or (gone := _find(at, keys[-1])) is None:
        return text
    pair = next((name for name, value in _pairs(at) if value is gone), gone)
    if at.flow_style:
        return _out_of_braces(text, at, pair, gone)
    if len(at.value) == 1:
        return _emptied(text, at, above)
    begin = text.rfind("\n", 0, pair.start_mark.index) + 1
    if text[begin : pair.start_mark.index].strip() != ("" if pair is not gone else "-"):
        raise ValueError("it shares its line")
    return text[:begin] + text[_next_line(text, _end(gone, pair)) :]


def _out_of_braces(text: str, at: Any, pair: Any, gone: Any) -> str:
    starts = [name.start_mark.index for name, _ in _pairs(at)]
    starts = starts or [each.start_mark.index for each in at.value]
    number = starts.index(pair.start_mark.index)
    if number + 1 < len(starts):
        return text[: starts[number]] + text[starts[number + 1] :]
    before = text[: starts[number]].rstrip()
    return before.removesuffix(",") + text[gone.end_mark.index :]


def _emptied(text: str, at: Any, above: Any) -> str:
    """With braces in the place of a table or list that has nothing more."""
    braces = _FLOW[dict if isinstance(at, MappingNode) else list]
    after = text[_next_line(text, _end(at)) :]
    if above is None:
        begin = text.rfind("\n", 0, at.start_mark.index) + 1
        return f"{text[:begin]}{braces}\n{after}"
    name = next(name for name, value in _pairs(above) if value is at)
    colon = text.index(":", name.end_mark.index) + 1
    line = _next_line(text, colon)
    return f"{text[:colon]} {braces}{text[colon:line]}{after}"


def _find(at: Any, key: Key) -> Any:
    """The node there, ``None`` if there is none."""
    if isinstance(key, Item):
        elements = at.value if isinstance(at, SequenceNode) else ()
        return next((each for each in elements if _is_item(each, key)), None)
    found = [value for name, value in _pairs(at) if name.value == key]
    return found[-1] if found else None


def _is_item(element: Any, key: Item) -> bool:
    found = _find(element, key.field)
    return found is not None and found.value == key.value


def _pairs(at: Any) -> Sequence[tuple[Any, Any]]:
    return at.value if isinstance(at, MappingNode) else ()


def _end(at: Any, name: Any = None) -> int:
    """Behind the last word of a value: a block ends where the next thing begins."""
    if isinstance(at, CollectionNode) and not at.flow_style and at.value:
        last = at.value[-1]
        return _end(last[1], last[0]) if isinstance(last, tuple) else _end(last)
    ends: list[int] = [at.end_mark.index, name.end_mark.index + 1 if name is not None else 0]
    return max(ends)


def _below(text: str, end: int, lines: str) -> str:
    at = _next_line(text, end)
    return text[:at] + lines + text[at:]


def _next_line(text: str, end: int) -> int:
    """Where the line after the one of the last word before ``end`` begins."""
    last = len(text[:end].rstrip())
    return text.index("\n", last) + 1


def _lines(rest: Sequence[Key], value: Any, indent: str) -> str:
    return "".join(f"{indent}{line}\n" for line in _block(_whole(rest, value)))


def _block(value: Any) -> Iterator[str]:
    """The lines of a table, or of a list of tables; lists of words stand in one line."""
    if isinstance(value, list):
        for each in value:
            first, *more = _block(each)
            yield f"- {first}"
            yield from (f"  {line}" for line in more)
        return
    for name, each in value.items():
        is_deep = isinstance(each, dict) or (isinstance(each, list) and isinstance(each[0], dict))
        if is_deep:
            yield f"{_in_line(name)}:"
            yield from (f"  {line}" for line in _block(each))
        else:
            yield f"{_in_line(name)}: {_in_line(each)}"


def _whole(rest: Sequence[Key], value: Any) -> Any:
    built = build(tuple(rest), value)
    return [built] if isinstance(rest[0], Item) else {rest[0]: built}


def _in_line(value: Any) -> str:
    """JSON, which YAML contains, with words bare where they can only be text."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_in_line(name)}: {_in_line(value[name])}' for name in value)}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_in_line, value))}]"
    is_bare = isinstance(value, str) and _BARE.fullmatch(value) and value.lower() not in _MEANT
    return value if is_bare else json.dumps(value, ensure_ascii=False)


def _reader() -> Any:
    return YAML(typ="safe", pure=True)
