"""Where prompts are not what openai-harmony renders, each with its reason, and that they are
otherwise: every row renders both, so that it fails when either changes."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import openai_harmony
import pytest

from mlxoss.harmony.conversation import (
    Conversation,
    FinalText,
    FunctionCall,
    FunctionResult,
    FunctionTool,
    Item,
    JsonSchema,
    Reasoning,
    UserText,
)
from mlxoss.harmony.encoding import Encoding
from mlxoss.harmony.prompt import render_prompt
from mlxoss.harmony.tools import render_tools
from tests.support.harmony.conversations import conversation
from tests.support.harmony.official import official_prompt, official_tools
from tests.support.harmony.random_prompts import random_conversation, random_parameters
from tests.support.harmony.schemas import STRING, properties

NUMBER = {"type": "number"}
SAYS = "<|start|>assistant<|channel|>"

TWO_FINALS: tuple[Item, ...] = (
    UserText("One"),
    Reasoning("first"),
    FinalText("1"),
    UserText("Two"),
    Reasoning("second"),
    FinalText("2"),
    UserText("Three"),
)


def two_finals(first: str, second: str) -> str:
    return (
        f"<|start|>user<|message|>One<|end|>{first}{SAYS}final<|message|>1<|end|>"
        f"<|start|>user<|message|>Two<|end|>{second}{SAYS}final<|message|>2<|end|>"
        "<|start|>user<|message|>Three<|end|><|start|>assistant"
    )


FIRST, SECOND = (f"{SAYS}analysis<|message|>{text}<|end|>" for text in ("first", "second"))

ANALYSIS: dict[str, tuple[bool, str]] = {
    "the library drops analysis only before the first final of the messages it is given, "
    "format.md and the chat template before the last": (False, two_finals("", SECOND)),
    "the library can be told to keep all analysis, which format.md advises against and "
    "no API asks for": (True, two_finals(FIRST, SECOND)),
}


@pytest.mark.parametrize(("keeps_analysis", "theirs"), ANALYSIS.values(), ids=ANALYSIS)
def test_analysis_of_finished_turns_is_always_dropped(
    encoding: Encoding,
    library: openai_harmony.HarmonyEncoding,
    keeps_analysis: bool,
    theirs: str,
) -> None:
    asked = conversation(*TWO_FINALS)
    ids = official_prompt(library, asked, keeps_analysis=keeps_analysis)
    assert after_system(library.decode(ids)) == theirs
    assert after_system(encoding.decode(render_prompt(encoding, asked))) == two_finals("", "")


def after_system(prompt: str) -> str:
    return prompt.partition("<|end|>")[2]


def test_a_result_has_all_of_its_header(
    encoding: Encoding, library: openai_harmony.HarmonyEncoding
) -> None:
    """format.md writes a recipient and a channel; the library only those it is given."""
    raw = {"role": "tool", "name": "functions.f", "content": "x"}
    bare = library.render(openai_harmony.Message.from_dict(raw))
    assert library.decode(bare) == "<|start|>functions.f<|message|>x<|end|>"
    ids = render_prompt(encoding, conversation(FunctionResult("f", "x")))
    assert after_system(encoding.decode(ids)) == (
        "<|start|>functions.f to=assistant<|channel|>commentary<|message|>x<|end|>"
        "<|start|>assistant"
    )


def test_an_earlier_call_names_its_recipient_before_its_channel(
    encoding: Encoding, library: openai_harmony.HarmonyEncoding
) -> None:
    """format.md shows the order in which the model writes; as history the library and the chat
    template write the other, which the model was therefore trained to read. Where its own turn is
    known it comes back in its own order (``test_splice.py``)."""
    documented = f"{SAYS}commentary to=functions.f <|constrain|>json<|message|>{{}}<|call|>"
    rendered = (
        "<|start|>assistant to=functions.f<|channel|>commentary "
        "<|constrain|>json<|message|>{}<|call|>"
    )
    asked = conversation(FunctionCall("f", "{}"))
    ids = official_prompt(library, asked)
    assert after_system(library.decode(ids)) == f"{rendered}<|start|>assistant"
    assert render_prompt(encoding, asked) == ids
    assert rendered != documented


def test_a_lone_surrogate_is_replaced_where_the_library_refuses_it(
    encoding: Encoding, library: openai_harmony.HarmonyEncoding
) -> None:
    """JSON can spell one, and no client should fail for it."""
    with pytest.raises(ValueError, match="invalid conversation JSON"):
        official_prompt(library, conversation(UserText("\ud800")))
    ids = render_prompt(encoding, conversation(UserText("\ud800")))
    assert after_system(encoding.decode(ids)).startswith("<|start|>user<|message|>\ufffd<|end|>")


NO_ARGUMENTS: dict[str, tuple[JsonSchema, str]] = {
    "{}": ({}, "any"),
    "an object without more": ({"type": "object"}, "{\n}"),
    "no properties": ({"type": "object", "properties": {}}, "{\n}"),
    "no others either": (
        {"type": "object", "properties": {}, "required": [], "additionalProperties": False},
        "{\n}",
    ),
    "null": ({"type": "object", "properties": None, "required": None}, "{\n}"),
    "an empty list, as PHP writes an empty object": (
        {"type": "object", "properties": []},
        "{\n}",
    ),
    "annotations": ({"$schema": "x", "title": "None", "type": "object"}, "{\n}"),
}


@pytest.mark.parametrize(("parameters", "theirs"), NO_ARGUMENTS.values(), ids=NO_ARGUMENTS)
def test_a_function_without_arguments_has_no_argument(
    library: openai_harmony.HarmonyEncoding, parameters: JsonSchema, theirs: str
) -> None:
    """As format.md and the chat template say; the library wants no ``parameters`` at all."""
    assert official_function(library, parameters) == f"type f = (_: {theirs}) => any;"
    assert our_function(parameters) == official_function(library, None) == "type f = () => any;"


def official_function(
    library: openai_harmony.HarmonyEncoding, parameters: JsonSchema | None
) -> str:
    return only_function(official_tools(library, [FunctionTool("f", None, parameters)]))


def our_function(parameters: JsonSchema | None) -> str:
    return only_function(render_tools([FunctionTool("f", None, parameters)]))


def only_function(section: str) -> str:
    head, tail = (
        "# Tools\n\n## functions\n\nnamespace functions {\n\n",
        "\n\n} // namespace functions",
    )
    assert section.startswith(head)
    assert section.endswith(tail)
    return section[len(head) : -len(tail)]


ARGUMENTS: dict[str, tuple[JsonSchema, str, str]] = {
    "the description of no arguments stands above the function": (
        {"type": "object", "description": "x"},
        "type f = (_: // x\n{\n}) => any;",
        "// x\ntype f = () => any;",
    ),
    "each line of the arguments' description is a comment": (
        {**properties(a=STRING), "description": "x\ny"},
        "type f = (_: // x\ny\n{\na?: string,\n}) => any;",
        "type f = (_: // x\n// y\n{\na?: string,\n}) => any;",
    ),
    "a name that is no identifier is quoted, as TypeScript wants it": (
        properties(**{"opt-ion": STRING, "a b": STRING, "1st": STRING}),
        "type f = (_: {\nopt-ion?: string,\na b?: string,\n1st?: string,\n}) => any;",
        'type f = (_: {\n"opt-ion"?: string,\n"a b"?: string,\n"1st"?: string,\n}) => any;',
    ),
    "a reference is what it refers to": (
        {**properties(a={"$ref": "#/$defs/D"}), "$defs": {"D": STRING}},
        "type f = (_: {\na?: any,\n}) => any;",
        "type f = (_: {\na?: string,\n}) => any;",
    ),
}


@pytest.mark.parametrize(("parameters", "theirs", "ours"), ARGUMENTS.values(), ids=ARGUMENTS)
def test_arguments_that_the_library_renders_otherwise(
    library: openai_harmony.HarmonyEncoding, parameters: JsonSchema, theirs: str, ours: str
) -> None:
    assert official_function(library, parameters) == theirs
    assert our_function(parameters) == ours


def array(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


PROPERTY: dict[str, tuple[Any, str, str]] = {
    "an object's description is said once": (
        {**properties(k=STRING), "description": "x"},
        "// x\na?:     // x\n{\n    k?: string,\n    },",
        "// x\na?: {\n    k?: string,\n    },",
    ),
    "the description of items is not lost": (
        array({**STRING, "description": "x"}),
        "a?: string[],",
        "a?: string[], // x",
    ),
    "the description of items that are objects does not stand inside the type": (
        array({**properties(k=STRING), "description": "x"}),
        "a?:     // x\n{\n    k?: string,\n    }[],",
        "a?: {\n    k?: string,\n    }[], // x",
    ),
    "each line of a description is a comment": (
        {**STRING, "description": "x\ny"},
        "// x\ny\na?: string,",
        "// x\n// y\na?: string,",
    ),
    "each line of a title is a comment": (
        {**STRING, "title": "x\ny"},
        "// x\ny\n//\na?: string,",
        "// x\n// y\n//\na?: string,",
    ),
    "anyOf is a union": ({"anyOf": [STRING, {"type": "null"}]}, "a?: any,", "a?: string | null,"),
    "allOf is an intersection": ({"allOf": [STRING]}, "a?: any,", "a?: string,"),
    "const is a literal": ({"const": "x"}, "a?: any,", 'a?: "x",'),
    "const beside a type is a literal": ({**STRING, "const": "x"}, "a?: string,", 'a?: "x",'),
    "null is a type": ({"type": "null"}, "a?: any,", "a?: null,"),
    "an enum of numbers is a union of them": (
        {"type": "integer", "enum": [1, 2]},
        "a?: number,",
        "a?: 1 | 2,",
    ),
    "an enum without a type is a union": ({"enum": ["x", 1]}, "a?: any,", 'a?: "x" | 1,'),
    "an enum that holds null is a union": (
        {"type": ["string", "null"], "enum": ["x", None]},
        "a?: string | null,",
        'a?: "x" | null,',
    ),
    "first items are a tuple": (
        {"type": "array", "prefixItems": [STRING, NUMBER]},
        "a?: Array<any>,",
        "a?: [string, number],",
    ),
    "a list of the type array alone is an array": (
        {"type": ["array"]},
        "a?: array,",
        "a?: Array<any>,",
    ),
    "a list of the type object alone is an object": (
        {"type": ["object"]},
        "a?: object,",
        "a?: {\n    },",
    ),
    "an array of an enum is not a union with an array": (
        array({**STRING, "enum": ["x", "y"]}),
        'a?: "x" | "y"[],',
        'a?: ("x" | "y")[],',
    ),
    "an array of several types is not a union with an array": (
        array({"type": ["string", "number"]}),
        "a?: string | number[],",
        "a?: (string | number)[],",
    ),
    "an array of oneOf is not a union with an array": (
        array({"oneOf": [STRING, NUMBER]}),
        "a?: \n     | string\n     | number[],",
        "a?: (string | number)[],",
    ),
    "items may be null": (
        array({**STRING, "nullable": True}),
        "a?: string[],",
        "a?: (string | null)[],",
    ),
    "any other properties are an index signature": (
        {"type": "object", "additionalProperties": True},
        "a?: {\n    },",
        "a?: {\n    [key: string]: any,\n    },",
    ),
    "other properties of a type are an index signature": (
        {"type": "object", "additionalProperties": STRING},
        "a?: {\n    },",
        "a?: {\n    [key: string]: string,\n    },",
    ),
    "quotes, backslashes and line ends in an enum are escaped": (
        {**STRING, "enum": ['c"q', "d\\e", "f\ng"]},
        'a?: "c"q" | "d\\e" | "f\ng",',
        r'a?: "c\"q" | "d\\e" | "f\ng",',
    ),
    "quotes and line ends in a default are escaped": (
        {**STRING, "default": 'x"y\nz'},
        'a?: string, // default: "x"y\nz"',
        r'a?: string, // default: "x\"y\nz"',
    ),
    "quotes in an example are escaped": (
        {**STRING, "examples": ['x"y']},
        '// Examples:\n// - "x"y"\na?: string,',
        '// Examples:\n// - "x\\"y"\na?: string,',
    ),
    "examples that are no strings are shown": (
        {**NUMBER, "examples": [1]},
        "// Examples:\na?: number,",
        "// Examples:\n// - 1\na?: number,",
    ),
    "a description stands before examples, beside oneOf as elsewhere": (
        {"description": "x", "examples": ["y"], "oneOf": [STRING, NUMBER]},
        '// Examples:\n// - "y"\n// x\na?:\n | string\n | number\n,',
        '// x\n// Examples:\n// - "y"\na?:\n | string\n | number\n,',
    ),
    "oneOf of nothing is any": ({"oneOf": []}, "a?:\n,", "a?: any,"),
    "the first variant keeps its description beside the property's": (
        {"description": "x", "oneOf": [{**STRING, "description": "y"}, NUMBER]},
        "// x\na?:\n | string\n | number\n,",
        "// x\na?:\n | string // y\n | number\n,",
    ),
}


@pytest.mark.parametrize(("schema", "theirs", "ours"), PROPERTY.values(), ids=PROPERTY)
def test_properties_that_the_library_renders_otherwise(
    library: openai_harmony.HarmonyEncoding, schema: Any, theirs: str, ours: str
) -> None:
    """Ours lose nothing that the schema says, and are TypeScript."""
    parameters = properties(a=schema)
    assert official_function(library, parameters) == f"type f = (_: {{\n{theirs}\n}}) => any;"
    assert our_function(parameters) == f"type f = (_: {{\n{ours}\n}}) => any;"


@pytest.mark.parametrize("start", range(0, 200, 50))
def test_random_conversations_are_the_library_s(
    encoding: Encoding, library: openai_harmony.HarmonyEncoding, start: int
) -> None:
    for seed in range(start, start + 50):
        asked = random_conversation(random.Random(seed))
        theirs = official_prompt(library, in_force(asked), keeps_analysis=True)
        assert render_prompt(encoding, asked) == theirs, f"seed {seed}"


def in_force(asked: Conversation) -> Conversation:
    """Without the analysis before the last final."""
    finals = [i for i, item in enumerate(asked.items) if isinstance(item, FinalText)]
    kept = (
        item
        for i, item in enumerate(asked.items)
        if i > max(finals, default=-1) or not isinstance(item, Reasoning)
    )
    return dataclasses.replace(asked, items=tuple(kept))


def test_random_plain_schemas_are_the_library_s(library: openai_harmony.HarmonyEncoding) -> None:
    for seed in range(200):
        parameters = random_parameters(random.Random(seed))
        assert our_function(parameters) == official_function(library, parameters), f"seed {seed}"
