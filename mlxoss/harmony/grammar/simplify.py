"""A JSON schema without what binds nothing, so that a grammar can be made of what is left.

Whatever follows the simplified schema follows the one that came. Source: JSON Schema 2020-12,
Core and Validation; what else earlier drafts say is left as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mlxoss.core import JsonMapping, JsonObject
from mlxoss.harmony.grammar.disjoint import Disjointness

FORMATS = frozenset(
    {
        "date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid",
        "uri", "unknown",
    }
)  # fmt: skip
"""What llguidance enforces. Any other is an annotation (Validation, section 7.2.3)."""

DRAFTS = frozenset(
    {
        "http://json-schema.org/draft-04/schema#",
        "http://json-schema.org/draft-06/schema#",
        "http://json-schema.org/draft-07/schema#",
        "https://json-schema.org/draft/2019-09/schema",
        "https://json-schema.org/draft/2020-12/schema",
    }
)
"""What llguidance knows by name. Anything else there makes it look for a file."""

FARTHEST = 2**63 - 1024
"""The last number of 64 bits that is one in floating point, in which bounds are compared."""

_LOWER = ("minimum", "exclusiveMinimum")
_UPPER = ("maximum", "exclusiveMaximum")

_IN_MAPPINGS = frozenset(
    {"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"}
)
_IN_LISTS = frozenset({"allOf", "anyOf", "oneOf", "prefixItems", "items"})
_ALONE = frozenset(
    {
        "items", "additionalItems", "additionalProperties", "not", "if", "then", "else",
        "propertyNames", "contains", "unevaluatedItems", "unevaluatedProperties",
    }
)  # fmt: skip
"""Where schemas stand within a schema, by keyword."""


def simplify(schema: JsonMapping) -> JsonObject:
    """A copy of ``schema`` without what binds nothing. Raises nothing, however malformed it is.

    Its values are those of ``schema``. It has been written as JSON, so that recursion is safe.
    """
    return _simplify(schema, Disjointness(schema))


def _simplify(schema: JsonMapping, disjointness: Disjointness) -> JsonObject:
    kept = {key: value for key, value in schema.items() if not _binds_nothing(schema, key)}
    for key in kept.keys() & {*_LOWER, *_UPPER}:
        kept[key] = _draw_in(key, kept[key])
    if _are_apart(schema, disjointness):
        branches = {"anyOf": kept.pop("oneOf")}
        if "anyOf" in kept:
            kept["allOf"] = [*_list(kept.get("allOf")), branches]
        else:
            kept |= branches
    return {key: _within(key, value, disjointness) for key, value in kept.items()}


def _within(key: str, value: Any, disjointness: Disjointness) -> Any:
    """``value`` with the schemas in it simplified."""
    if key in _IN_MAPPINGS and isinstance(value, Mapping):
        return {name: _simple(part, disjointness) for name, part in value.items()}
    if key in _IN_LISTS and isinstance(value, list | tuple):
        return [_simple(part, disjointness) for part in value]
    return _simple(value, disjointness) if key in _ALONE else value


def _simple(value: Any, disjointness: Disjointness) -> Any:
    return _simplify(value, disjointness) if isinstance(value, Mapping) else value


def _are_apart(schema: JsonMapping, disjointness: Disjointness) -> bool:
    """Whether one branch of its ``oneOf`` at most can match, so that ``anyOf`` says the same."""
    branches = schema.get("oneOf")
    malformed = not isinstance(branches, list) or not isinstance(schema.get("allOf", []), list)
    return not malformed and disjointness.are_apart(schema, _list(branches))


def _draw_in(key: str, bound: Any) -> Any:
    """A bound that is out of reach, within reach: numbers beyond are not written."""
    if isinstance(bound, bool) or not isinstance(bound, int | float):
        return bound
    if key in _LOWER:
        return max(bound, -FARTHEST)
    return min(bound, FARTHEST)


def _binds_nothing(schema: JsonMapping, key: str) -> bool:
    rule = _RULES.get(key)
    return rule is not None and rule(schema, schema[key])


def _is_any(value: object) -> bool:
    return value is True or value == {}


def _takes_any_name(value: object) -> bool:
    """Whether every string follows the schema of ``propertyNames``."""
    if not isinstance(value, Mapping):
        return value is True
    said = {key: part for key, part in value.items() if key not in _ANNOTATIONS}
    types = said.pop("type", "string")
    if said.pop("minLength", 0) != 0 or said.pop("pattern", "") not in ("", ".*", "^.*", "^"):
        return False
    return not said and (types == "string" or "string" in _list(types))


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _is_no_number(value: object, allowed: tuple[int, ...]) -> bool:
    return isinstance(value, bool) or value not in allowed


_ANNOTATIONS = frozenset(
    {"title", "description", "default", "examples", "$comment", "deprecated", "$schema", "$id"}
)

_RULES: Mapping[str, Callable[[JsonMapping, Any], bool]] = {
    "$schema": lambda schema, value: not isinstance(value, str) or value not in DRAFTS,
    "format": lambda schema, value: isinstance(value, str) and value not in FORMATS,
    "uniqueItems": lambda schema, value: (
        value is False or (value is True and not _is_no_number(schema.get("maxItems"), (0, 1)))
    ),
    "propertyNames": lambda schema, value: _takes_any_name(value),
    "dependentRequired": lambda schema, value: value == {},
    "dependentSchemas": lambda schema, value: value == {},
    "dependencies": lambda schema, value: value == {},
    "unevaluatedProperties": lambda schema, value: _is_any(value),
    "unevaluatedItems": lambda schema, value: _is_any(value),
    "not": lambda schema, value: value is False,
    "contains": lambda schema, value: (
        not _is_no_number(schema.get("minContains"), (0,)) and "maxContains" not in schema
    ),
    "minContains": lambda schema, value: "contains" not in schema or value == 0,
    "maxContains": lambda schema, value: "contains" not in schema,
    "if": lambda schema, value: not (schema.keys() & {"then", "else"}),
    "then": lambda schema, value: "if" not in schema,
    "else": lambda schema, value: "if" not in schema,
}
"""By keyword: whether it binds nothing where it stands."""
