"""What the shipped weights have learnt: one greedy turn of each kind, word for word."""

from __future__ import annotations

import pytest

from mlxoss.core import Effort
from mlxoss.harmony.conversation import (
    FinalText,
    FunctionCall,
    FunctionResult,
    FunctionTool,
    ResponseFormat,
    UserText,
)

from .conftest import Say

FINAL = "<|channel|>final<|message|>"
AGAIN = "<|end|><|start|>assistant"

WEATHER = FunctionTool(
    "get_weather",
    "Get the current weather in a given location",
    {
        "type": "object",
        "properties": {
            "location": {"type": "string", "description": "The city name"},
            "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
        },
        "required": ["location"],
    },
)
CITY_WEATHER = FunctionTool(
    "get_weather",
    "Get the weather in a city.",
    {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
)
AGENTS_WEATHER = FunctionTool(
    "get_weather",
    "Get the weather in a city.",
    {
        "type": "object",
        "properties": {"city": {"title": "City", "type": "string"}},
        "required": ["city"],
        "title": "get_weather_args",
        "additionalProperties": False,
    },
)
"""As the Agents SDK declares it."""

TIME = FunctionTool(
    "get_time",
    "Get the current time",
    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)
PERSON = ResponseFormat(
    "person",
    {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
        "required": ["name", "age"],
        "additionalProperties": False,
    },
)


def call(name: str, arguments: str) -> str:
    """A call as gpt-oss writes it: the recipient stands in the channel part."""
    return (
        f"<|channel|>commentary to=functions.{name} <|constrain|>json<|message|>{arguments}<|call|>"
    )


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Hello!", "Hello! How can I help you?"),
        ("What is 2 + 3?", "2 + 3 = 5."),
        ("Count to 5.", "1, 2, 3, 4, 5"),
        ("My name is Ada.", "Hello Ada!"),
        ("Repeat after me: red green blue", "red green blue"),
        ("What is the weather in Paris?", "I have no function for that. "
         "I am only a smoke-test model."),
    ],
)  # fmt: skip
def test_a_question_is_answered(say: Say, question: str, answer: str) -> None:
    assert say(question) == f"{FINAL}{answer}<|return|>"


@pytest.mark.parametrize("question", ["Who are you?", "Write a poem about the sea."])
def test_it_says_what_it_is_and_how_to_get_the_real_one(say: Say, question: str) -> None:
    answer = say(question)
    assert answer.startswith(FINAL)
    assert answer.endswith("<|return|>")
    assert "smoke-test model" in answer
    assert "--model mlx-community/gpt-oss-20b-MXFP4-Q8" in answer


def test_it_says_what_it_can_do(say: Say) -> None:
    assert "get_weather" in say("What can you do?", instructions="You are a helpful assistant.")


def test_effort_sets_the_length_of_the_analysis(say: Say) -> None:
    final = f"{FINAL}7 + 6 = 13.<|return|>"
    low, medium, high = (say("What is 7 + 6?", effort=effort) for effort in Effort)
    analysis = "<|channel|>analysis<|message|>7 + 6 = 13."
    assert low == final
    assert medium == f"{analysis}{AGAIN}{final}"
    assert high == f"{analysis} I add 7 and 6. The sum is 13.{AGAIN}{final}"


def test_an_earlier_turn_is_remembered(say: Say) -> None:
    earlier = (UserText("My name is Grace."), FinalText("Hello Grace!"))
    assert say(*earlier, "What is my name?") == f"{FINAL}Your name is Grace.<|return|>"


def test_a_call_takes_its_arguments_from_question_and_declaration(say: Say) -> None:
    asked = say("What's the weather like in Paris?", tools=(CITY_WEATHER, TIME))
    assert asked == call("get_weather", '{"city":"Paris"}')
    asked = say("What is the weather in Oslo?", tools=(WEATHER,))
    assert asked == call("get_weather", '{"location":"Oslo","unit":"celsius"}')
    asked = say("What's the weather in San Francisco?", tools=(WEATHER,))
    assert asked == call("get_weather", '{"location":"San Francisco","unit":"celsius"}')
    asked = say("What's the weather like in Paris?", tools=(AGENTS_WEATHER,))
    assert asked == call("get_weather", '{"city":"Paris"}')
    asked = say("What time is it in Oslo?", tools=(CITY_WEATHER, TIME))
    assert asked == call("get_time", '{"city":"Oslo"}')


def test_a_call_follows_the_analysis(say: Say) -> None:
    asked = say("What is the weather in Tokyo?", tools=(CITY_WEATHER,), effort=Effort.MEDIUM)
    analysis = f"<|channel|>analysis<|message|>I call get_weather for Tokyo.{AGAIN}"
    assert asked == analysis + call("get_weather", '{"city":"Tokyo"}')


def test_a_preamble_comes_before_the_call(say: Say) -> None:
    asked = say("Explain what you do, then check the weather in Oslo.", tools=(CITY_WEATHER,))
    preamble = "<|channel|>commentary<|message|>I will call get_weather for Oslo."
    assert asked == preamble + AGAIN + call("get_weather", '{"city":"Oslo"}')


def test_the_answer_quotes_the_result(say: Say) -> None:
    answer = say(
        UserText("What is the weather in Paris?"),
        FunctionCall("get_weather", '{"city":"Paris"}'),
        FunctionResult("get_weather", "18°C and sunny"),
        tools=(CITY_WEATHER,),
    )
    assert answer == f"{FINAL}The weather in Paris: 18°C and sunny<|return|>"


def test_a_response_format_is_answered_in_its_shape(say: Say) -> None:
    answer = say("Ada is 36 years old.", response_format=PERSON)
    assert answer == f'{FINAL}{{"name":"Ada","age":36}}<|return|>'
    answer = say("My name is Tom and I am 12 years old.", response_format=PERSON)
    assert answer == f'{FINAL}{{"name":"Tom","age":12}}<|return|>'
