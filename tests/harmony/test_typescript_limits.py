"""Schemas too deep, too large or too odd for TypeScript."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlxoss.harmony.conversation import FunctionTool
from mlxoss.harmony.tools import render_tools
from mlxoss.harmony.typescript import MAX_REFERENCED_CHARS, render_type
from tests.support.harmony.schemas import nested, properties


@pytest.mark.parametrize(
    "wrap",
    [
        lambda inner: {"properties": {"a": inner}},
        lambda inner: {"type": "array", "items": inner},
        lambda inner: {"anyOf": [inner]},
        lambda inner: {"allOf": [{"oneOf": [inner]}]},
        lambda inner: {"additionalProperties": inner},
        lambda inner: {"properties": {"a": {"oneOf": [inner, {"description": "x"}]}}},
    ],
)
def test_deep_nesting_ends_in_any(wrap: Any) -> None:
    assert "string" in render_type(nested(5, wrap))
    assert "any" in render_type(nested(20_000, wrap))


def test_deep_literals_are_any() -> None:
    deep: Any = []
    for _ in range(200_000):
        deep = [deep]
    assert render_type({"const": deep}) == "any"
    assert render_type({"properties": {"a": {"default": deep}}}) == "{\na?: any, // default: any\n}"


def test_references_cannot_multiply_a_schema_without_end() -> None:
    definitions = {
        f"d{level}": properties(
            a={"$ref": f"#/$defs/d{level + 1}"}, b={"$ref": f"#/$defs/d{level + 1}"}
        )
        for level in range(30)
    }
    schema = {"$ref": "#/$defs/d0", "$defs": definitions}
    written = len(json.dumps(schema))
    assert len(render_type(schema)) < 8 * written + 2 * MAX_REFERENCED_CHARS


def test_references_cannot_multiply_a_description_without_end() -> None:
    schema = {
        **properties(**{f"p{index}": {"$ref": "#/$defs/A"} for index in range(2_000)}),
        "$defs": {"A": {"type": "string", "description": "y" * 100_000}},
    }
    written = len(json.dumps(schema))
    assert len(render_type(schema)) < 8 * written + 2 * MAX_REFERENCED_CHARS


def test_a_large_schema_of_its_own_is_shown_in_full() -> None:
    columns = {
        f"column_{index}": {"type": "string", "description": f"Column {index}"}
        for index in range(5_000)
    }
    rendered = render_type(properties(**columns))
    assert all(f"// Column {index}\n" in rendered for index in range(5_000))
    assert "any" not in rendered


WORDS = ["string", "number", "object", "array", "null", "#", "#/$defs/a", "#/properties/b", "a"]
KEYWORDS = [
    *("type", "enum", "const", "nullable", "default", "description", "title", "examples"),
    *("anyOf", "oneOf", "allOf", "$ref", "$defs", "properties", "required", "items"),
    *("prefixItems", "additionalItems", "additionalProperties", "patternProperties", "a", "b"),
]

ODD_SCHEMAS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(WORDS),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYWORDS), inner, max_size=6)
    ),
    max_leaves=40,
)


@settings(max_examples=200, deadline=None, print_blob=True)
@given(schema=ODD_SCHEMAS)
def test_no_schema_makes_it_raise(schema: Any) -> None:
    assert isinstance(render_type(schema), str)
    assert render_tools([FunctionTool("f", "d", schema)]).endswith("} // namespace functions")


@settings(max_examples=150, deadline=None, print_blob=True)
@given(schema=ODD_SCHEMAS)
def test_any_schema_s_text_stays_in_comments_and_literals(schema: Any) -> None:
    """Without comments and strings, what is left is balanced TypeScript."""
    code = "\n".join(strip_text(line) for line in render_type(schema).split("\n"))
    assert code.isascii()
    for opening, closing in ("()", "[]", "{}"):
        assert code.count(opening) == code.count(closing)


def strip_text(line: str) -> str:
    """``line`` without its string literals and its comment."""
    kept = []
    rest = line
    while rest:
        if rest.startswith("//"):
            break
        if rest.startswith('"'):
            _, length = json.JSONDecoder(strict=False).raw_decode(rest)
            rest = rest[length:]
        else:
            kept.append(rest[0])
            rest = rest[1:]
    return "".join(kept)
