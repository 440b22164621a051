"""The guard from the request to the answer: a random model, a real server, the official client."""

from __future__ import annotations

import json
import re
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from mlxoss.harmony.encoding import Encoding
from tests.support.server.harness import Server, running

USER: Any = [{"role": "user", "content": "Where is it warm?"}]


class Place(BaseModel):
    city: str
    degrees: int
    seen: list[bool]


def function(name: str, **parameters: Any) -> Any:
    schema = {
        "type": "object",
        "properties": parameters,
        "required": list(parameters),
        "additionalProperties": False,
    }
    return {"type": "function", "function": {"name": name, "parameters": schema, "strict": True}}


TOOLS: Any = [function("look", place={"enum": ["north", "south"]}), function("stop")]


def complete(leaning: openai.OpenAI, **fields: Any) -> Any:
    return leaning.chat.completions.create(
        **{"model": "m", "messages": USER, "max_tokens": 300, "seed": 1} | fields
    )


@pytest.mark.parametrize("seed", range(3))
def test_parse_gives_the_schema_s_object(leaning: openai.OpenAI, seed: int) -> None:
    completion = leaning.chat.completions.parse(
        model="m",
        messages=USER,
        response_format=Place,
        seed=seed,
        max_tokens=400,
    )
    message = completion.choices[0].message
    assert completion.choices[0].finish_reason == "stop"
    assert isinstance(message.parsed, Place)


def test_parse_streamed(leaning: openai.OpenAI) -> None:
    with leaning.chat.completions.stream(
        model="m", messages=USER, response_format=Place, seed=4, max_tokens=400
    ) as stream:
        completion = stream.get_final_completion()
    assert isinstance(completion.choices[0].message.parsed, Place)


def test_required_and_named_calls_are_made(leaning: openai.OpenAI) -> None:
    for choice, names in (
        ("required", {"look", "stop"}),
        ({"type": "function", "function": {"name": "look"}}, {"look"}),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "required",
                    "tools": [{"type": "function", "function": {"name": "stop"}}],
                },
            },
            {"stop"},
        ),
    ):
        answer = complete(leaning, tools=TOOLS, tool_choice=choice, parallel_tool_calls=False)
        (call,) = answer.choices[0].message.tool_calls
        assert answer.choices[0].finish_reason == "tool_calls"
        assert call.function.name in names
        arguments = json.loads(call.function.arguments)
        assert arguments == {} or arguments["place"] in ("north", "south")


def test_a_cut_in_the_middle_of_json_is_a_length(leaning: openai.OpenAI) -> None:
    schema = {
        "name": "n",
        "schema": {"type": "array", "items": {"type": "integer"}, "minItems": 50},
    }
    answer = complete(
        leaning,
        response_format={"type": "json_schema", "json_schema": schema | {"strict": True}},
        max_tokens=12,
    )
    assert answer.choices[0].finish_reason == "length"


CUSTOM: Any = {
    "type": "custom",
    "custom": {
        "name": "stamp",
        "format": {
            "type": "grammar",
            "grammar": {"syntax": "regex", "definition": "[0-9]{2}/[0-9]{2}"},
        },
    },
}
NAMED: Any = {"type": "custom", "custom": {"name": "stamp"}}
STAMP = re.compile("[0-9]{2}/[0-9]{2}")


def test_custom_tools_take_text_of_their_grammar(leaning: openai.OpenAI) -> None:
    answer = complete(leaning, tools=[CUSTOM], tool_choice=NAMED, parallel_tool_calls=False)
    (call,) = answer.choices[0].message.tool_calls
    assert call.type == "custom"
    assert call.custom.name == "stamp"
    assert STAMP.fullmatch(call.custom.input)
    again = complete(
        leaning,
        tools=[CUSTOM],
        messages=[
            *USER,
            answer.choices[0].message.model_dump(exclude_none=True),
            {"role": "tool", "tool_call_id": call.id, "content": "Done"},
        ],
    )
    assert again.choices[0].finish_reason


def test_custom_tools_streamed(leaning: openai.OpenAI) -> None:
    chunks = complete(
        leaning, tools=[CUSTOM], tool_choice=NAMED, parallel_tool_calls=False, stream=True
    )
    deltas = [c.choices[0].delta.tool_calls[0] for c in chunks if c.choices[0].delta.tool_calls]
    assert deltas[0].type == "custom"
    assert STAMP.fullmatch("".join(delta.custom["input"] for delta in deltas))


def test_one_call_where_parallel_calls_are_off(leaning: openai.OpenAI) -> None:
    for seed in range(4):
        answer = complete(
            leaning, tools=TOOLS, tool_choice="required", parallel_tool_calls=False, seed=seed
        )
        assert len(answer.choices[0].message.tool_calls) == 1


def test_no_calls_where_none_may_be_made(leaning: openai.OpenAI) -> None:
    for seed in range(4):
        answer = complete(leaning, tools=TOOLS, tool_choice="none", seed=seed)
        assert not answer.choices[0].message.tool_calls


FORMS: dict[str, tuple[Any, set[str]]] = {
    "guided_json": ({"type": "object", "properties": {"a": {"const": 1}}, "required": ["a"],
                     "additionalProperties": False}, {'{"a":1}'}),
    "guided_regex": ("(yes|no)!", {"yes!", "no!"}),
    "guided_choice": (['"one"\n', "zwei ü"], {'"one"\n', "zwei ü"}),
    "guided_grammar": ('start: A "b"\nA: "a" | "c"', {"ab", "cb"}),
    "grammar": ('root ::= any-word "." # the end\nany-word ::= [xy]{2,2} | "z"',
                {"xx.", "xy.", "yx.", "yy.", "z."}),
}  # fmt: skip


@pytest.mark.parametrize("field", FORMS)
def test_the_fields_of_other_servers_hold_the_answer(leaning: openai.OpenAI, field: str) -> None:
    value, allowed = FORMS[field]
    for seed in range(2):
        answer = complete(leaning, seed=seed, extra_body={field: value})
        said = "".join(answer.choices[0].message.content.split())
        assert said in {"".join(one.split()) for one in allowed}


UNUSABLE: dict[str, tuple[dict[str, Any], str]] = {
    "response format": (
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "n", "schema": {"not": {}}, "strict": True},
            }
        },
        "response_format.json_schema.schema",
    ),
    "arguments": (
        {"tools": [TOOLS[0], function("bad", x={"type": "string", "pattern": "(?!a)b"})]},
        "tools[1].function.parameters",
    ),
    "choice": ({"tools": TOOLS, "tool_choice": "sometimes"}, "tool_choice"),
    "pattern": ({"extra_body": {"guided_regex": "("}}, "guided_regex"),
    "grammar": ({"extra_body": {"grammar": 'root ::= "a" [z-a]'}}, "grammar"),
    "options": ({"extra_body": {"guided_grammar": '%llguidance {}\nstart: "a"'}}, "guided_grammar"),
}


@pytest.mark.parametrize(("fields", "param"), UNUSABLE.values(), ids=UNUSABLE)
def test_what_cannot_be_enforced_is_a_400(
    leaning: openai.OpenAI, fields: dict[str, Any], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        complete(leaning, **fields)
    assert caught.value.param == param


def test_without_the_guard_nothing_is_promised(encoding: Encoding) -> None:
    from tests.support.fakes import ScriptedBackend
    from tests.support.server.scripts import always

    backend = ScriptedBackend(always(encoding, "<|channel|>final<|message|>Hi<|return|>"))
    with running(lambda: backend, lambda: encoding) as server:
        _check_refused(server)


def _check_refused(server: Server) -> None:
    with pytest.raises(openai.BadRequestError, match="--guard off") as caught:
        complete(server.client(), tools=TOOLS, tool_choice="required")
    assert caught.value.param == "tool_choice"
    assert complete(server.client(), tools=TOOLS).choices[0].message.content == "Hi"
