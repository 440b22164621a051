"""Whether two JSON schemas can match the same value, as far as a short look tells."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlxoss.core import JsonMapping
from mlxoss.harmony.json_schema import resolve, subschemas

MOST_LOOKS = 20_000
"""Pairs of schemas that are compared for one whole schema."""

_MOST_DEPTH = 4
_MOST_PARTS = 16
_EVERY_TYPE = frozenset({"null", "boolean", "object", "array", "number", "integer", "string"})


@dataclass(slots=True)
class _Facts:
    """What a value has to be to match a schema, as far as it is looked at.

    ``closed`` are sets of names outside of which an object has no properties.
    """

    types: frozenset[str] = _EVERY_TYPE
    values: frozenset[str] | None = None
    required: set[str] = field(default_factory=set)
    properties: dict[str, list[Any]] = field(default_factory=dict)
    closed: list[set[str]] = field(default_factory=list)


class Disjointness:
    """Compares the parts of one ``root`` schema, which references start from."""

    def __init__(self, root: JsonMapping) -> None:
        self._root = root
        self._left = MOST_LOOKS

    def are_apart(self, schema: JsonMapping, branches: Sequence[Any]) -> bool:
        """Whether no value matches ``schema`` and two of its ``branches``; false when unsure."""
        around = {key: value for key, value in schema.items() if key != "oneOf"}
        pairs = itertools.combinations(branches, 2)
        return all(self._are_disjoint([around, one], [around, two], 0) for one, two in pairs)

    def _are_disjoint(self, one: Sequence[Any], two: Sequence[Any], depth: int) -> bool:
        """Whether nothing matches all schemas of ``one`` and all of ``two``."""
        self._left -= 1
        if self._left < 0 or depth > _MOST_DEPTH:
            return False
        first, second = self._facts(one), self._facts(two)
        common = first.types & second.types
        if not common or _values_differ(first, second):
            return True
        return common == {"object"} and self._objects_differ(first, second, depth)

    def _objects_differ(self, first: _Facts, second: _Facts, depth: int) -> bool:
        for needed, closed in ((first.required, second.closed), (second.required, first.closed)):
            if any(needed - names for names in closed):
                return True
        shared = first.properties.keys() & second.properties.keys()
        return any(
            self._are_disjoint(first.properties[name], second.properties[name], depth + 1)
            for name in sorted(shared & (first.required | second.required))
        )

    def _facts(self, schemas: Sequence[Any]) -> _Facts:
        facts = _Facts()
        for part in itertools.islice(self._parts(schemas), _MOST_PARTS):
            _learn(facts, part)
        return facts

    def _parts(self, schemas: Sequence[Any]) -> Iterator[JsonMapping]:
        """The schemas, and what they refer to and consist of: a value matches all of them."""
        waiting = [schema for schema in schemas if isinstance(schema, Mapping)]
        while waiting:
            schema = waiting.pop(0)
            yield schema
            if isinstance(reference := schema.get("$ref"), str):
                target = resolve(self._root, reference)
                waiting += [target] if isinstance(target, Mapping) else []
            waiting += [part for part in subschemas(schema, "allOf") if isinstance(part, Mapping)]


def _learn(facts: _Facts, schema: JsonMapping) -> None:
    facts.types &= _types(schema)
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if isinstance(values, list):
        told = frozenset(_canonical(value) for value in values)
        facts.values = told if facts.values is None else facts.values & told
        facts.types &= frozenset().union(*(_types_of(value) for value in values))
    required = schema.get("required")
    if isinstance(required, list):
        facts.required |= {name for name in required if isinstance(name, str)}
    properties = schema.get("properties")
    named = properties if isinstance(properties, Mapping) else {}
    for name, part in named.items():
        facts.properties.setdefault(name, []).append(part)
    if schema.get("additionalProperties") is False and not schema.get("patternProperties"):
        facts.closed.append(set(named))


def _values_differ(first: _Facts, second: _Facts) -> bool:
    if first.values is None or second.values is None:
        return False
    return first.values.isdisjoint(second.values)


def _types(schema: JsonMapping) -> frozenset[str]:
    declared = schema.get("type")
    names = declared if isinstance(declared, list) else [declared]
    if declared is None or schema.get("nullable") is True:
        return _EVERY_TYPE
    found = {name for name in names if isinstance(name, str)}
    return frozenset(found | ({"integer"} if "number" in found else set()))


def _types_of(value: object) -> frozenset[str]:
    match value:
        case None:
            return frozenset({"null"})
        case bool():
            return frozenset({"boolean"})
        case int() | float():
            return frozenset({"number", "integer"})
        case str():
            return frozenset({"string"})
        case list():
            return frozenset({"array"})
        case _:
            return frozenset({"object"})


def _canonical(value: object) -> str:
    """Equal for values that are equal in JSON, where 1 is 1.0 and true is not 1."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, sort_keys=True)
