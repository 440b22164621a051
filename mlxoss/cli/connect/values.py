"""Plain values as trees: where a value stands in a settings file, and changes of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Item:
    """The element of a list, a table, whose ``field`` says ``value``. It is made with that.

    Without a ``field`` it is the first, whatever it says.
    """

    field: str
    value: str

    def is_in(self, element: object) -> bool:
        """Whether ``element`` is that one."""
        return isinstance(element, dict) and (not self.field or self._says_so(element))

    def _says_so(self, element: dict[str, object]) -> bool:
        return element.get(self.field) == self.value


Key = str | Item
Keys = tuple[Key, ...]
"""Where a value stands: the names of the tables around it, and its own."""

Settings = Any
"""What a file says, in plain values: a table, or a list in files that are one."""

Leaf = str | int | bool | list[Any]


@dataclass(frozen=True, slots=True)
class Put:
    """Put a value there, in tables that are made if missing. It takes no table's place."""

    keys: Keys
    value: Leaf


@dataclass(frozen=True, slots=True)
class Drop:
    """Take away what stands there, if anything does."""

    keys: Keys


Change = Put | Drop


class InTheWay(Exception):
    """Something of another kind stands where a table or a value has to; ``keys`` say where."""

    def __init__(self, keys: Keys, what: str) -> None:
        super().__init__(what)
        self.keys = keys


def puts(keys: Keys, values: Mapping[str, Any]) -> list[Change]:
    """A ``Put`` for every value of a table in tables; what else these hold stays."""
    made: list[Change] = []
    for name, value in values.items():
        under = (*keys, name)
        made += puts(under, value) if isinstance(value, dict) else [Put(under, value)]
    return made


def make(changes: Sequence[Change], settings: Settings) -> None:
    """Make the changes in ``settings``. Raises ``InTheWay``."""
    for change in changes:
        at = settings
        for depth, key in enumerate(change.keys[:-1]):
            found = _step(at, key)
            if found is None and isinstance(change, Drop):
                break
            at = _enter(at, change.keys, depth) if found is None else found
            if not isinstance(at, kind_of(change.keys[depth + 1])):
                raise InTheWay(change.keys[: depth + 1], "is not a table")
        else:
            _set(at, change)


def _set(at: Any, change: Change) -> None:
    key, found = change.keys[-1], _step(at, change.keys[-1])
    if isinstance(change, Drop):
        if isinstance(key, Item):
            at[:] = [each for each in at if not key.is_in(each)]
        else:
            at.pop(key, None)
    elif isinstance(found, dict):
        raise InTheWay(change.keys, "is a table")
    else:
        at[key] = change.value


def build(keys: Keys, value: Any) -> Any:
    """What has to stand at the first of ``keys`` for ``value`` to stand at the last."""
    for key in reversed(keys[1:]):
        value = [{key.field: key.value, **value}] if isinstance(key, Item) else {key: value}
    first = keys[0]
    return {first.field: first.value, **value} if isinstance(first, Item) else value


def look(settings: Settings, keys: Keys) -> Any:
    """The value there; ``None`` where there is none."""
    for key in keys:
        settings = _step(settings, key)
    return settings


def leaves(settings: Any, keys: Keys = ()) -> Iterator[Put]:
    """Every value in the tables of ``settings``, as what would put it there."""
    if isinstance(settings, dict):
        for name, value in settings.items():
            yield from leaves(value, (*keys, name))
    else:
        yield Put(keys, settings)


def is_same(one: Settings, other: Settings) -> bool:
    """Whether they say the same: true is not 1, and what is no number equals itself."""
    return _canonical(one) == _canonical(other)


def kind_of(key: Key) -> type:
    """What holds a value under ``key``."""
    return list if isinstance(key, Item) else dict


def _canonical(value: Any) -> str:
    return json.dumps(_sorted(value), default=repr)


def _sorted(value: Any) -> Any:
    """Tables as lists of pairs: YAML's keys may be numbers, which have no order beside text."""
    if isinstance(value, dict):
        pairs = sorted(((repr(key), key) for key in value), key=lambda pair: pair[0])
        return {"table": [[name, _sorted(value[key])] for name, key in pairs]}
    return [_sorted(each) for each in value] if isinstance(value, list) else value


def _step(at: Any, key: Key) -> Any:
    if isinstance(key, Item):
        elements = at if isinstance(at, list) else ()
        return next((each for each in elements if key.is_in(each)), None)
    return at.get(key) if isinstance(at, dict) else None


def _enter(at: Any, keys: Keys, depth: int) -> Any:
    """Make what is to stand at ``keys[depth]``, and return it."""
    key = keys[depth]
    if isinstance(key, Item):
        at.append({key.field: key.value})
        return at[-1]
    at[key] = kind_of(keys[depth + 1])()
    return at[key]
