"""Tools and response formats as the developer message shows them."""

from __future__ import annotations

from textwrap import dedent
from typing import Any

import openai_harmony
import pytest

from mlxoss.errors import InvalidRequest
from mlxoss.harmony.conversation import FunctionTool, JsonSchema, ResponseFormat
from mlxoss.harmony.tools import render_response_format, render_tools
from tests.support.harmony.official import official_tools
from tests.support.harmony.schemas import STRING, nested, properties

SAME_AS_LIBRARY: dict[str, dict[str, Any] | None] = {
    "no parameters": None,
    "not an object": {"type": "string"},
    "scalars": properties(
        ("s", "b"),
        s=STRING,
        i={"type": "integer"},
        n={"type": "number"},
        b={"type": "boolean"},
        a={},
    ),
    "descriptions": properties(s={"type": "string", "description": "The city, e.g. Bergen"}),
    "described object": {**properties(s=STRING), "description": "Where to look"},
    "titles": properties(s={"type": "string", "title": "City", "description": "Its name"}),
    "examples": properties(s={"type": "string", "examples": ["Bergen", "Oslo"]}),
    "enum": properties(unit={"type": "string", "enum": ["celsius", "fahrenheit"]}),
    "defaults": properties(
        s={"type": "string", "default": "x"},
        e={"type": "string", "enum": ["a", "b"], "default": "a"},
        i={"type": "integer", "default": 3},
        f={"type": "number", "default": 1.5},
        b={"type": "boolean", "default": False},
        n={"type": "string", "default": None},
        a={"type": "array", "items": STRING, "default": ["a", "ø"]},
        o={"type": "object", "properties": {"z": STRING}, "default": {"z": "b", "y": [1, 2]}},
    ),
    "nullable": properties(
        s={"type": "string", "nullable": True},
        e={"type": "string", "enum": ["a"], "nullable": True, "default": "a"},
    ),
    "type list": properties(a={"type": ["string", "null"]}, b={"type": ["integer", "null"]}),
    "arrays": properties(
        a={"type": "array", "items": STRING},
        b={"type": "array"},
        c={"type": "array", "items": {"type": "array", "items": {"type": "number"}}},
        d={"type": "array", "items": properties(x={"type": "string", "description": "An x"})},
    ),
    "nested objects": properties(
        a=properties(("b",), b=properties(c={"type": "integer", "description": "deep"})),
        z={"type": "object"},
    ),
    "one of": properties(
        ("u",),
        u={
            "description": "Either",
            "default": "x",
            "oneOf": [
                {"type": "string", "default": "y"},
                {"type": "number", "description": "a count"},
                {"type": "string", "enum": ["a", "b"]},
                properties(k={"type": "string"}),
            ],
        },
    ),
}


@pytest.mark.parametrize("name", SAME_AS_LIBRARY)
def test_what_the_library_renders_well_is_rendered_alike(
    library: openai_harmony.HarmonyEncoding, name: str
) -> None:
    parameters = SAME_AS_LIBRARY[name]
    ours = FunctionTool("f", "Does f.\n\nWell.", parameters)
    assert render_tools([ours]) == official_tools(library, [ours])


def test_several_tools_are_rendered_alike(library: openai_harmony.HarmonyEncoding) -> None:
    ours = [
        FunctionTool(f"f{index}", None, parameters)
        for index, parameters in enumerate(SAME_AS_LIBRARY.values())
    ]
    assert render_tools(ours) == official_tools(library, ours)


WITH_ARGUMENTS: dict[str, JsonSchema] = {
    "anything": True,
    "text": {"type": "string"},
    "perhaps null": {"type": ["object", "null"]},
    "a property": properties(a=STRING),
    "any others": {"type": "object", "additionalProperties": True},
    "others of any type": {"type": "object", "additionalProperties": {}},
    "others of a type": {"type": "object", "properties": {}, "additionalProperties": STRING},
    "others by their name": {"type": "object", "patternProperties": {"^x-": STRING}},
    "a required one": {"type": "object", "required": ["a"]},
    "nothing valid at all": {"type": "object", "not": {}},
    "at least one": {"type": "object", "minProperties": 1},
    "by reference": {"$ref": "#/$defs/A", "$defs": {"A": properties(a=STRING)}},
    "one of several": {"type": "object", "anyOf": [properties(a=STRING)]},
}


@pytest.mark.parametrize("name", WITH_ARGUMENTS)
def test_what_may_have_arguments_is_shown_with_them(name: str) -> None:
    assert "type f = (_: " in render_tools([FunctionTool("f", None, WITH_ARGUMENTS[name])])


def test_layout_of_several_tools() -> None:
    tools = [FunctionTool("now"), FunctionTool("f", "Does f.\r\nTwice.", properties(a=STRING))]
    assert render_tools(tools) == dedent(
        """\
        # Tools

        ## functions

        namespace functions {

        type now = () => any;

        // Does f.
        // Twice.
        type f = (_: {
        a?: string,
        }) => any;

        } // namespace functions"""
    )


@pytest.mark.parametrize(
    ("response_format", "expected"),
    [
        (
            ResponseFormat("list", {"type": "object", "title": "ø"}, "A list\nof things"),
            "# Response Formats\n\n## list\n\n// A list\n// of things\n"
            '{"type":"object","title":"ø"}',
        ),
        (ResponseFormat("x", {"const": "a\nb"}), '# Response Formats\n\n## x\n\n{"const":"a\\nb"}'),
        (ResponseFormat("any", True), "# Response Formats\n\n## any\n\ntrue"),
    ],
)
def test_response_formats(response_format: ResponseFormat, expected: str) -> None:
    assert render_response_format(response_format) == expected


@pytest.mark.parametrize(
    "schema", [nested(100_000, lambda inner: {"items": inner}), {"const": float("nan")}]
)
def test_a_response_format_that_is_not_json_is_refused(schema: JsonSchema) -> None:
    with pytest.raises(InvalidRequest, match="cannot be written as JSON") as caught:
        render_response_format(ResponseFormat("x", schema))
    assert caught.value.param == "response_format"
