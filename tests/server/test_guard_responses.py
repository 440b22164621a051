"""The guard under ``/v1/responses``: a random model, a real server, the official client."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from openai.types.responses import ParsedResponse
from pydantic import BaseModel

from mlxoss.harmony.encoding import Encoding
from tests.support.fakes import ScriptedBackend
from tests.support.server.harness import running
from tests.support.server.scripts import always


class Place(BaseModel):
    city: str
    degrees: int
    seen: list[bool]


def function(name: str, **parameters: Any) -> dict[str, Any]:
    schema = {
        "type": "object",
        "properties": parameters,
        "required": list(parameters),
        "additionalProperties": False,
    }
    return {"type": "function", "name": name, "parameters": schema, "strict": True}


LOOK = function("look", place={"enum": ["north", "south"]})
SUM: dict[str, Any] = {
    "type": "custom",
    "name": "sum",
    "format": {
        "type": "grammar",
        "syntax": "lark",
        "definition": 'start: NUMBER ("+" NUMBER)*\nNUMBER: /[0-9]{1,3}/\n',
    },
}
TOOLS = [LOOK, function("stop"), SUM]


def respond(leaning: openai.OpenAI, **fields: Any) -> Any:
    usual: dict[str, Any] = {"model": "m", "input": "Where is it warm?", "max_output_tokens": 300}
    return leaning.responses.create(**usual | fields)


def test_parse_gives_the_schema_s_object(leaning: openai.OpenAI) -> None:
    response = leaning.responses.parse(model="m", input="Where?", text_format=Place)
    assert response.status == "completed"
    assert isinstance(response.output_parsed, Place)


def test_parse_streamed(leaning: openai.OpenAI) -> None:
    with leaning.responses.stream(model="m", input="Where?", text_format=Place) as stream:
        response: ParsedResponse[Place] = stream.get_final_response()
    assert isinstance(response.output_parsed, Place)


CHOICES: dict[str, tuple[Any, set[str]]] = {
    "required": ("required", {"look", "stop", "sum"}),
    "named": ({"type": "function", "name": "look"}, {"look"}),
    "custom": ({"type": "custom", "name": "sum"}, {"sum"}),
    "allowed": (
        {
            "type": "allowed_tools",
            "mode": "required",
            "tools": [{"type": "function", "name": "stop"}, {"type": "custom", "name": "sum"}],
        },
        {"stop", "sum"},
    ),
}


@pytest.mark.parametrize(("choice", "names"), CHOICES.values(), ids=CHOICES)
def test_forced_calls_are_made(leaning: openai.OpenAI, choice: Any, names: set[str]) -> None:
    response = respond(leaning, tools=TOOLS, tool_choice=choice, parallel_tool_calls=False)
    (call,) = [item for item in response.output if item.type.endswith("_call")]
    assert call.name in names
    match call.type:
        case "custom_tool_call":
            assert all(1 <= len(number) <= 3 for number in call.input.split("+"))
        case _:
            arguments = json.loads(call.arguments)
            assert arguments == {} or arguments["place"] in ("north", "south")


def test_only_allowed_tools_are_called(leaning: openai.OpenAI) -> None:
    tools = [{"type": "function", "name": "stop"}]
    choice = {"type": "allowed_tools", "mode": "auto", "tools": tools}
    response = respond(leaning, tools=TOOLS, tool_choice=choice)
    calls = [item.name for item in response.output if item.type.endswith("_call")]
    assert set(calls) <= {"stop"}


def test_a_cut_in_the_middle_of_json_is_incomplete(leaning: openai.OpenAI) -> None:
    schema = {"type": "array", "items": {"type": "integer"}, "minItems": 50}
    wanted = {"type": "json_schema", "name": "n", "schema": schema, "strict": True}
    response = respond(leaning, text={"format": wanted}, max_output_tokens=16)
    assert response.status == "incomplete"
    assert response.incomplete_details.reason == "max_output_tokens"


UNUSABLE: dict[str, tuple[dict[str, Any], str, str]] = {
    "format": (
        {"text": {"format": {"type": "json_schema", "name": "n", "schema": {"not": {}}}}},
        "text.format.schema",
        "not",
    ),
    "arguments": (
        {"tools": [LOOK, function("bad", x={"type": "string", "pattern": "(?!a)b"})]},
        "tools[1].parameters",
        "look-around",
    ),
    "grammar": (
        {"tools": [SUM | {"format": SUM["format"] | {"definition": "start: nothing"}}]},
        "tools[0].format.definition",
        "nothing",
    ),
    "undeclared": (
        {"tools": TOOLS, "tool_choice": {"type": "function", "name": "go"}},
        "tool_choice",
        "go",
    ),
    "nothing to call": ({"tool_choice": "required"}, "tool_choice", "no function"),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("fields", "param", "reason"), UNUSABLE.values(), ids=UNUSABLE)
def test_what_cannot_be_enforced_is_a_400(
    leaning: openai.OpenAI, fields: dict[str, Any], param: str, reason: str, stream: bool
) -> None:
    with pytest.raises(openai.BadRequestError, match=reason) as caught:
        respond(leaning, stream=stream, **fields)
    assert caught.value.param == param


def test_without_the_guard_nothing_is_promised(encoding: Encoding) -> None:
    text = "<|channel|>final<|message|>Hi<|return|>"
    backend = ScriptedBackend(always(encoding, text))
    with running(lambda: backend, lambda: encoding) as server:
        with pytest.raises(openai.BadRequestError, match="--guard off") as caught:
            respond(server.client(), tools=[LOOK], tool_choice="required")
        assert caught.value.param == "tool_choice"
        assert respond(server.client(), tools=[LOOK, SUM]).output_text == "Hi"
