"""YAML as a format of settings files.

PyYAML reads, and says where each value begins and ends. To edit, whole lines are put in or cut
out between them; what stands in braces or brackets is changed within them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import yaml

from mlxoss.cli.connect.values import Change, Drop, Item, Key, Put, Settings, build, is_same, look

_FLOW = {dict: "{}", list: "[]"}


class Yaml:
    """A file of one document that holds a table, or with ``root`` a list."""

    name = "YAML"

    def __init__(self, root: type[dict[str, Any]] | type[list[Any]] = dict) -> None:
        self._root = root

    def read(self, text: str) -> Settings:
        """See ``Format``."""
        try:
            found = yaml.safe_load(text)
        except yaml.YAMLError as error:
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
        except (yaml.YAMLError, ValueError, LookupError, RecursionError):
            return  # a text that it cannot edit is none
        yield text


def _put(text: str, put: Put) -> str:
    at, depth, above = yaml.compose(text, yaml.SafeLoader), 0, None
    while at is not None and depth < len(put.keys):
        if (found := _find(at, put.keys[depth])) is None:
            break
        above, at, depth = at, found, depth + 1
    rest = put.keys[depth:]
    if at is None:
        return text + _lines(rest, put.value, "")
    if not rest:
        return text[: at.start_mark.index] + _in_line(put.value) + text[at.end_mark.index :]
    if isinstance(at, yaml.CollectionNode) and at.value:
        if at.flow_style:
            return _into_braces(text, at, rest, put.value)
        return _below(text, _end(at), _lines(rest, put.value, " " * at.start_mark.column))
    begin, end = at.start_mark.index, at.end_mark.index  # nothing, null, {} or []
    indent = " " * (above.start_mark.column + 2) if above is not None else ""
    text = text[:begin].rstrip(" ") + text[end:]
    return _below(text, len(text[:begin].rstrip(" ")), _lines(rest, put.value, indent))


def _into_braces(text: str, at: Any, rest: Sequence[Key], value: Any) -> str:
    end = at.value[-1][1].end_mark if isinstance(at, yaml.MappingNode) else at.value[-1].end_mark
    return f"{text[: end.index]}, {_in_line(_whole(rest, value))[1:-1]}{text[end.index :]}"


def _drop(text: str, keys: Sequence[Key]) -> str:
    at, above = yaml.compose(text, yaml.SafeLoader), None
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
    braces = _FLOW[dict if isinstance(at, yaml.MappingNode) else list]
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
        elements = at.value if isinstance(at, yaml.SequenceNode) else ()
        return next((each for each in elements if _is_item(each, key)), None)
    found = [value for name, value in _pairs(at) if name.value == key]
    return found[-1] if found else None


def _is_item(element: Any, key: Item) -> bool:
    found = _find(element, key.field)
    return found is not None and found.value == key.value


def _pairs(at: Any) -> Sequence[tuple[Any, Any]]:
    return at.value if isinstance(at, yaml.MappingNode) else ()


def _end(at: Any, name: Any = None) -> int:
    """Behind the last word of a value: PyYAML has a block end where the next thing begins."""
    if isinstance(at, yaml.CollectionNode) and not at.flow_style and at.value:
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
    dumped = yaml.safe_dump(
        value, default_flow_style=True, allow_unicode=True, sort_keys=False, width=10**6
    )
    return str(dumped).removesuffix("\n").removesuffix("\n...")
