"""JSON schemas as TypeScript."""

from __future__ import annotations

from textwrap import dedent
from typing import Any

import pytest

from mlxoss.harmony.conversation import JsonSchema
from mlxoss.harmony.typescript import render_type
from tests.support.harmony.schemas import STRING, properties

NODE = {"$ref": "#/$defs/Node"}

TYPES: list[tuple[Any, str]] = [
    (True, "any"),
    (False, "never"),
    ({"type": "null"}, "null"),
    ({"type": "unheard of"}, "any"),
    ({"type": 7}, "any"),
    # Literals
    ({"const": "x"}, '"x"'),
    ({"const": None}, "null"),
    ({"const": {"a": [1, "ø"]}}, '{"a":[1,"ø"]}'),
    ({"enum": ["a", 1, 1.5, True, None, [2]]}, '"a" | 1 | 1.5 | true | null | [2]'),
    ({"type": "integer", "enum": [1, 2]}, "1 | 2"),
    ({"type": "string", "enum": ['a"b', "c\\d", "e\nf"]}, r'"a\"b" | "c\\d" | "e\nf"'),
    ({"type": "string", "enum": []}, "string"),
    # Unions
    ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "string | null"),
    ({"anyOf": [{"type": "integer"}, {"type": "number"}]}, "number"),
    ({"anyOf": []}, "any"),
    ({"anyOf": "nonsense"}, "any"),
    ({"oneOf": [STRING, {"const": 0}]}, "string | 0"),
    ({"type": "string", "anyOf": [{"pattern": "^a"}, {"const": "b"}]}, 'string | "b"'),
    ({"type": "string", "nullable": True}, "string | null"),
    ({"type": ["string", "null"], "nullable": True}, "string | null"),
    ({"type": ["array", "null"], "items": STRING}, "string[] | null"),
    ({"type": ["integer", "number"]}, "number"),
    ({"enum": ["a", None], "nullable": True}, '"a" | null'),
    ({"anyOf": [{"enum": ["a", 1]}, {"anyOf": [{"const": 1}, STRING]}]}, '"a" | 1 | string'),
    # Intersections
    ({"allOf": [STRING]}, "string"),
    (
        {"allOf": [properties(a=STRING), properties(b=STRING)]},
        "{\na?: string,\n} & {\nb?: string,\n}",
    ),
    ({"allOf": [{"enum": [1, 2]}, {"enum": [2, 3]}]}, "(1 | 2) & (2 | 3)"),
    (
        {**properties(a=STRING), "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
        "{\na?: string,\n}",
    ),
    # Arrays
    ({"items": STRING}, "string[]"),
    ({"type": "array", "items": True}, "any[]"),
    ({"type": "array", "items": {"enum": ["a", "b"]}}, '("a" | "b")[]'),
    ({"type": "array", "items": {"anyOf": [STRING, {"type": "number"}]}}, "(string | number)[]"),
    ({"type": "array", "items": {"type": ["string", "null"]}}, "(string | null)[]"),
    ({"prefixItems": [STRING, {"const": 1}], "items": False}, "[string, 1]"),
    ({"items": [STRING], "additionalItems": {"enum": [1, 2]}}, "[string, ...(1 | 2)[]]"),
    # Objects
    ({"type": "object", "additionalProperties": STRING}, "{\n[key: string]: string,\n}"),
    ({"additionalProperties": {"type": "array"}}, "{\n[key: string]: Array<any>,\n}"),
    ({"type": "object", "additionalProperties": True}, "{\n[key: string]: any,\n}"),
    ({"type": "object", "additionalProperties": False}, "{\n}"),
    ({"patternProperties": {"^x-": STRING}}, "{\n[key: string]: string, // /^x-/\n}"),
    ({"properties": {"a": False, "b": True}}, "{\na?: never,\nb?: any,\n}"),
    ({"properties": {"a-b": STRING, "1": STRING, "$x": STRING, "": STRING}},
     '{\n"a-b"?: string,\n"1"?: string,\n$x?: string,\n""?: string,\n}'),
    ({"properties": {"a": STRING}, "required": "a"}, "{\na?: string,\n}"),
    ({"properties": {"a": STRING}, "required": [["a"], "a", 1]}, "{\na: string,\n}"),
    ({"type": "object", "properties": "nonsense"}, "{\n}"),
    # References
    ({**NODE, "$defs": {"Node": STRING}}, "string"),
    ({"$ref": "#/definitions/a~1b%20c", "definitions": {"a/b c": STRING}}, "string"),
    ({"$ref": "#/anyOf/1", "anyOf": [STRING, {"type": "number"}]}, "number & (string | number)"),
    ({"$ref": "#/anyOf/99999999999999999999", "anyOf": [STRING]}, "string"),
    ({"$ref": "#/nowhere"}, "any"),
    ({"$ref": "https://example.com/schema"}, "any"),
    ({"$ref": 7}, "any"),
    ({"$ref": "#"}, "any"),
    ({**NODE, "$defs": {"Node": NODE}}, "Node"),
    (
        {**NODE, "$defs": {"Node": properties(next={"anyOf": [NODE, {"type": "null"}]})}},
        "{\nnext?: Node | null,\n}",
    ),
    (
        {"properties": {"up": {"$ref": "#"}}},
        "{\nup?: {\n    up?: any,\n    },\n}",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "expected"), TYPES, ids=lambda value: repr(value)[:60])
def test_types(schema: JsonSchema, expected: str) -> None:
    assert render_type(schema) == expected


def check_block(schema: JsonSchema, expected: str) -> None:
    assert render_type(schema) == dedent(expected).strip("\n")


def test_comments_of_several_lines_stay_comments() -> None:
    schema = {
        "description": "Root\r\nmore",
        "properties": {
            "a": {
                "title": "One\nTwo",
                "description": "First\n\n}) => any;\ntype evil = () => any;\n",
                "default": "x\n}",
                "examples": ["a\nb", {"c": 1}],
                "type": "string",
            },
            "b": {"enum": ["x\ny"], "default": "x\ny"},
        },
    }
    assert render_type(schema).split("\n") == [
        "// Root",
        "// more",
        "{",
        "// One",
        "// Two",
        "//",
        "// First",
        "// ",
        "// }) => any;",
        "// type evil = () => any;",
        "// Examples:",
        r'// - "a\nb"',
        '// - {"c":1}',
        r'a?: string, // default: "x\n}"',
        r'b?: "x\ny", // default: "x\ny"',
        "}",
    ]


def test_variants_that_say_something_get_a_line_each() -> None:
    variants = [
        {"type": "string", "description": "A name,\nas written"},
        {"$ref": "#/$defs/Place"},
        {"type": "null"},
    ]
    check_block(
        {
            "properties": {
                "where": {"anyOf": variants, "description": "Where", "default": None},
                "all": {"type": "array", "items": {"anyOf": variants}},
            },
            "required": ["where"],
            "$defs": {
                "Place": {"description": "A place", "properties": {"lat": {"type": "number"}}}
            },
        },
        """
        {
        // Where
        // default: null
        where:
         | string // A name, as written
         | {
           lat?: number,
           } // A place
         | null
        ,
        all?: (
             | string // A name, as written
             | {
               lat?: number,
               } // A place
             | null
            )[],
        }
        """,
    )


def test_a_repeated_description_is_said_once() -> None:
    check_block(
        {
            "properties": {
                "u": {
                    "description": "Same",
                    "oneOf": [{"type": "string", "description": "Same"}, {"type": "number"}],
                    "nullable": True,
                }
            }
        },
        """
        {
        // Same
        u?:
         | string
         | number
         | null
        ,
        }
        """,
    )


def test_references_bring_their_description_and_items_theirs() -> None:
    check_block(
        {
            "properties": {
                "a": {"$ref": "#/$defs/A"},
                "b": {"allOf": [{"$ref": "#/$defs/A"}], "description": "My own", "default": 1},
                "c": {"type": "array", "items": {"$ref": "#/$defs/A"}, "default": []},
            },
            "$defs": {"A": {"title": "A", "type": "integer", "description": "A number"}},
        },
        """
        {
        // A number
        a?: number,
        // My own
        b?: number, // default: 1
        c?: number[], // A number default: []
        }
        """,
    )
