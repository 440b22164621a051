"""JSON schemas that requests bring: what can be enforced, and what cannot."""

from __future__ import annotations

from typing import Any


def _object(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _open(kind: str | None, **properties: Any) -> dict[str, Any]:
    """An object that may have other properties, if it is one."""
    said = {"properties": properties, "required": list(properties)}
    return said if kind is None else {"type": kind, **said}


_NODE = {
    "type": "object",
    "properties": {
        "value": {"type": "integer"},
        "children": {"type": "array", "items": {"$ref": "#/$defs/node"}, "maxItems": 2},
    },
    "required": ["value"],
    "additionalProperties": False,
}
_LIST = {
    "type": "object",
    "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}},
    "required": ["next"],
    "additionalProperties": False,
}

ENFORCED: dict[str, Any] = {
    "anything": {},
    "true": True,
    "any object": {"type": "object"},
    "null": {"type": "null"},
    "boolean": {"type": "boolean"},
    "string": {"type": "string"},
    "integer": {"type": "integer"},
    "number": {"type": "number"},
    "several types": {"type": ["string", "null", "integer"]},
    "no properties": _object(),
    "two properties": _object(a={"type": "string"}, b={"type": "integer"}),
    "optional property": {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "boolean"}},
        "required": ["b"],
        "additionalProperties": False,
    },
    "others allowed": {
        "type": "object",
        "properties": {"a": {"type": "integer"}},
        "required": ["a"],
    },
    "others of a type": {"type": "object", "additionalProperties": {"type": "boolean"}},
    "required but undeclared": {"type": "object", "required": ["a"]},
    "odd names": _object(**{'a "b"': {"type": "null"}, "ü\n": {"type": "null"}, "": True}),
    "pattern properties": {
        "type": "object",
        "patternProperties": {"^x-": {"type": "integer"}},
        "additionalProperties": False,
    },
    "counted properties": {
        "type": "object",
        "additionalProperties": {"type": "integer"},
        "minProperties": 1,
    },
    "nested objects": _object(a=_object(b=_object(c={"type": "null"}))),
    "enum": {"enum": ["red", "green", "blue"]},
    "mixed enum": {"enum": ["1", 1, 1.5, None, True, [1, {"a": 2}], {"b": []}]},
    "const": {"const": "yes"},
    "const object": {"const": {"a": [1, 2], "b": None}},
    "typed enum": {"type": "string", "enum": ["a", "b"]},
    "anyOf": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
    "anyOf objects": {"anyOf": [_object(a={"type": "integer"}), _object(b={"type": "string"})]},
    "tagged union": {
        "anyOf": [
            _object(kind={"const": "dog"}, bark={"type": "boolean"}),
            _object(kind={"const": "cat"}, lives={"type": "integer", "minimum": 1, "maximum": 9}),
        ]
    },
    "anyOf beside properties": {
        **_object(a={"type": "integer"}),
        "anyOf": [{"properties": {"a": {"minimum": 5}}}, {"properties": {"a": {"maximum": 1}}}],
    },
    "disjoint oneOf": {"oneOf": [{"type": "string"}, {"type": "integer"}]},
    "discriminated oneOf": {
        "oneOf": [_object(kind={"const": "a"}), _object(kind={"const": "b"})],
    },
    "allOf": {"allOf": [{"type": "integer", "minimum": 2}, {"maximum": 7}]},
    "allOf objects": {
        "allOf": [
            {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
            {"type": "object", "properties": {"b": {"type": "null"}}, "required": ["b"]},
        ]
    },
    "ref": {**_object(a={"$ref": "#/$defs/n"}), "$defs": {"n": {"type": "integer"}}},
    "definitions": {
        "$ref": "#/definitions/n",
        "definitions": {"n": {"type": "boolean"}},
    },
    "ref with siblings": {
        **_object(a={"$ref": "#/$defs/n", "maximum": 3}),
        "$defs": {"n": {"type": "integer", "minimum": 1}},
    },
    "recursion": {"$ref": "#/$defs/node", "$defs": {"node": _NODE}},
    "recursion through the root": _LIST,
    "array": {"type": "array", "items": {"type": "integer"}},
    "array of anything": {"type": "array", "maxItems": 2},
    "bounded array": {"type": "array", "items": {"type": "null"}, "minItems": 1, "maxItems": 3},
    "tuple": {
        "type": "array",
        "prefixItems": [{"type": "integer"}, {"type": "string"}],
        "items": False,
        "minItems": 2,
    },
    "nested arrays": {
        "type": "array",
        "minItems": 1,
        "items": {"type": "array", "maxItems": 2, "items": {"type": "array", "maxItems": 1}},
    },
    "array of objects": {"type": "array", "items": _object(x={"type": "number"})},
    "minimum": {"type": "integer", "minimum": -5, "maximum": 17},
    "exclusive bounds": {"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 10},
    "number bounds": {"type": "number", "minimum": -0.5, "maximum": 2.25},
    "multiple": {"type": "integer", "multipleOf": 5, "minimum": 0, "maximum": 100},
    "decimals": {"type": "number", "multipleOf": 0.25, "minimum": 0, "maximum": 3},
    "multiples": {
        "allOf": [{"type": "integer", "multipleOf": 4}, {"multipleOf": 6}, {"maximum": 99}]
    },
    "many optional properties": {
        "type": "object",
        "properties": {f"p{i}": {"type": "null"} for i in range(500)},
        "additionalProperties": False,
    },
    "length": {"type": "string", "minLength": 2, "maxLength": 6},
    "pattern": {"type": "string", "pattern": "^[A-Z]{2}[0-9]{1,3}$"},
    "loose pattern": {"type": "string", "pattern": "a.c", "maxLength": 12},
    "date": {"type": "string", "format": "date"},
    "time": {"type": "string", "format": "time"},
    "date-time": {"type": "string", "format": "date-time"},
    "email": {"type": "string", "format": "email"},
    "uuid": {"type": "string", "format": "uuid"},
    "ipv4": {"type": "string", "format": "ipv4"},
    "ipv6": {"type": "string", "format": "ipv6"},
    "annotations": {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://example.com/point",
        "title": "Point",
        "description": "A point",
        **_object(x={"type": "integer", "description": "x", "default": 1, "examples": [2]}),
    },
    "own options": {
        **_object(a={"type": "integer"}),
        "x-guidance": {"whitespace_flexible": False, "lenient": True},
    },
}
"""What compiles; every output must follow it."""

BINDING_NOTHING: dict[str, Any] = {
    **{
        f"format {name}": {"type": "string", "format": name, "maxLength": 5}
        for name in ("shoe-size", "uri-reference", "regex", "json-pointer", "password", "int32")
    },
    "a format beside a pattern": {"type": "string", "format": "shoe-size", "pattern": "^[0-9]{2}$"},
    "not unique": {"type": "array", "items": {"type": "integer"}, "uniqueItems": False},
    "unique alone": {
        "type": "array", "items": {"type": "integer"}, "uniqueItems": True, "maxItems": 1,
    },
    **{
        f"names: {names}": {
            "type": "object",
            "propertyNames": names,
            "additionalProperties": {"type": "integer"},
            "maxProperties": 2,
        }
        for names in ({"type": "string"}, {}, True, {"type": ["string", "null"], "minLength": 0})
    },
    "no dependencies": {"type": "boolean", "dependentRequired": {}, "dependentSchemas": {}},
    "unevaluated": {"type": "boolean", "unevaluatedProperties": True, "unevaluatedItems": {}},
    "not false": {"type": "boolean", "not": False},
    "none contained": {
        "type": "array", "items": {"type": "integer"}, "contains": {"const": 1}, "minContains": 0,
    },
    "half conditions": {"type": "boolean", "if": {"const": True}},
    "other halves": {"type": "boolean", "then": {"const": True}, "else": False, "minContains": 3},
    "int64": {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
    "below int64": {"type": "integer", "exclusiveMinimum": -(2**63) - 1, "maximum": 5},
    "uint64": {"type": "integer", "minimum": 0, "maximum": 2**64 - 1},
    "doubles": {"type": "number", "minimum": -1.7976931348623157e308, "maximum": 1.7e308},
    "float32": {"type": "number", "exclusiveMinimum": -3.4e38, "exclusiveMaximum": 3.4e38},
    **{
        f"$schema {draft}": {"$schema": draft, **_object(a={"type": "boolean"})}
        for draft in (
            "http://json-schema.org/schema#",
            "https://json-schema.org/draft-07/schema#",
            "http://json-schema.org/draft/2020-12/schema",
            "https://spec.openapis.org/oas/3.1/dialect/base",
            "http://json-schema.org/draft-03/schema#",
            "mine",
        )
    },
    "nested tags": {
        "oneOf": [_open("object", a=_object(k={"const": n})) for n in (1, 2, "1", True, None)],
    },
    "tags behind references": {
        "$defs": {n: _open("object", t={"const": n}) for n in ("a", "b")},
        "oneOf": [
            {"allOf": [{"$ref": "#/$defs/a"}, _open("object", z={"type": "boolean"})]},
            {"$ref": "#/$defs/b"},
        ],
    },
    "tags of an object above": {
        "type": "object",
        "properties": {"kind": {"enum": ["a", "b"]}},
        "required": ["kind"],
        "oneOf": [
            {"properties": {"kind": {"const": "a"}}},
            {"properties": {"kind": {"enum": ["b"]}}},
        ],
    },
    "a oneOf beside an anyOf": {
        "anyOf": [_object(t={"type": "integer"}), _object(t={"type": "boolean"})],
        "oneOf": [_open("object", t={"type": "integer"}), _open("object", t={"type": "boolean"})],
    },
    "what only one allows": {
        "oneOf": [
            _object(a={"type": "boolean"}),
            _object(b={"type": "boolean"}),
            _object(a={"type": "boolean"}, b={"type": "boolean"}),
        ],
    },
}  # fmt: skip
"""What a grammar cannot express as it stands, and need not: the rest says the same."""

REFUSED: dict[str, tuple[Any, str]] = {
    "false": (False, "false"),
    "no values": ({"enum": []}, "empty"),
    "not": ({"not": {"type": "string"}}, "not"),
    "conditions": ({"if": {"type": "string"}, "then": {"minLength": 1}}, "if"),
    "unique items": ({"type": "array", "uniqueItems": True}, "uniqueItems"),
    "contains": ({"type": "array", "contains": {"type": "string"}}, "contains"),
    "property names": ({"type": "object", "propertyNames": {"maxLength": 3}}, "propertyNames"),
    "dependencies": ({"dependentRequired": {"a": ["b"]}}, "dependentRequired"),
    "unevaluated": ({"type": "object", "unevaluatedProperties": False}, "unevaluated"),
    "overlapping oneOf": ({"oneOf": [{"type": "integer"}, {"minimum": 2}]}, "oneOf"),
    "dynamic reference": ({"$dynamicRef": "#node"}, "dynamicRef"),
    "remote reference": ({"$ref": "https://example.com/x.json"}, "example.com"),
    "dangling reference": ({"$ref": "#/$defs/none"}, "none"),
    "a pattern of names": ({"type": "object", "propertyNames": {"pattern": "^a"}}, "propertyNames"),
    "a value of two branches": (
        {"oneOf": [_open("object", a={"const": 1}), _open("object", b={"const": 2})]},
        "more than one branch",
    ),
    "optional tags": (
        {"oneOf": [{"type": "object", "properties": {"a": {"const": n}}} for n in (1, 2)]},
        "more than one branch",
    ),
    "tags of what need be no object": (
        {"oneOf": [_open(None, a={"const": 1}), _open(None, a={"const": 2})]},
        "more than one branch",
    ),
    "bounds that nothing meets": ({"type": "integer", "minimum": 2**63}, "too far out"),
    "look-ahead": ({"type": "string", "pattern": "(?!a)b"}, "look-around"),
    "bad pattern": ({"type": "string", "pattern": "("}, "unclosed"),
    "unknown type": ({"type": "strnig"}, "strnig"),
    "wrong bounds": ({"type": "integer", "minimum": 5, "maximum": 2}, "minimum"),
    "impossible": ({"allOf": [{"type": "string"}, {"type": "integer"}]}, "nsatisfiable"),
    "malformed": ({"properties": []}, "properties"),
    "too many remainders": ({"type": "integer", "multipleOf": 999_983}, "remainders"),
    "remainders of two": (
        {"allOf": [{"type": "integer", "multipleOf": 499}, {"multipleOf": 503}]},
        "remainders",
    ),
    "a vast multiple": ({"type": "number", "multipleOf": 1e300}, "remainders"),
    "too many optional properties": (
        {"type": "object", "properties": {f"p{i}": True for i in range(501)}},
        "optional",
    ),
    "too large": (
        _object(**{f"a{i}": _object(**{f"b{j}": True for j in range(70)}) for i in range(140)}),
        "longer",
    ),
}
"""What does not compile, and what the reason must name."""
