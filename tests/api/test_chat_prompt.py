"""Requests to conversations: one row per rule."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlxoss.api.chat.prompt import to_turn_request
from mlxoss.api.chat.request import ChatRequest, parse_chat_request
from mlxoss.api.sampling import fold_seed
from mlxoss.api.turn_request import TurnRequest
from mlxoss.core import Effort, SamplingParams
from mlxoss.errors import InvalidRequest
from mlxoss.harmony.conversation import (
    DeveloperText,
    FinalText,
    FunctionCall,
    FunctionResult,
    FunctionTool,
    Item,
    Preamble,
    Reasoning,
    ResponseFormat,
    UserText,
)

DATE = datetime.date(2026, 11, 22)


def turn(**fields: Any) -> TurnRequest:
    usual = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
    return to_turn_request(parse_chat_request(usual | fields), date=DATE)


def message(role: str, content: Any = None, **fields: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **fields}


def call(id_: str, name: str, arguments: str = "{}") -> dict[str, Any]:
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}


CONVERSATIONS: list[tuple[str, list[dict[str, Any]], str | None, list[Item]]] = [
    ("no instructions", [message("user", "Hi")], None, [UserText("Hi")]),
    (
        "leading system and developer text is joined",
        [message("system", "A"), message("developer", "B"), message("user", "Hi", name="Ann")],
        "A\n\nB",
        [UserText("Hi", "Ann")],
    ),
    (
        "later ones stay in place",
        [message("user", "Hi"), message("system", "S"), message("developer", "D")],
        None,
        [UserText("Hi"), DeveloperText("S"), DeveloperText("D")],
    ),
    ("only instructions", [message("system", "A")], "A", []),
    (
        "parts are lines",
        [message("user", [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}])],
        None,
        [UserText("a\nb")],
    ),
    (
        "an answer without calls is final",
        [message("user", "Hi"), message("assistant", "Yes", reasoning="R")],
        None,
        [UserText("Hi"), Reasoning("R"), FinalText("Yes")],
    ),
    (
        "an answer with calls is a preamble",
        [
            message("user", "Hi"),
            message(
                "assistant",
                "Wait",
                reasoning_content="R",
                tool_calls=[call("1", "f", "{"), call("2", "g")],
            ),
            message("tool", "G", tool_call_id="2"),
            message("tool", [{"type": "text", "text": "F"}], tool_call_id="1"),
        ],
        None,
        [
            UserText("Hi"),
            Reasoning("R"),
            Preamble("Wait"),
            FunctionCall("f", "{"),
            FunctionCall("g", "{}"),
            FunctionResult("g", "G"),
            FunctionResult("f", "F"),
        ],
    ),
    (
        "calls alone",
        [message("assistant", None, tool_calls=[call("1", "f")])],
        None,
        [FunctionCall("f", "{}")],
    ),
    (
        "an empty answer is nothing",
        [message("assistant", ""), message("user", "")],
        None,
        [UserText("")],
    ),
    (
        "refusals are words too",
        [
            message("assistant", None, refusal="No"),
            message("assistant", [{"type": "refusal", "refusal": "Never"}]),
        ],
        None,
        [FinalText("No"), FinalText("Never")],
    ),
    (
        "reasoning cut by the limit",
        [message("assistant", None, reasoning="R")],
        None,
        [Reasoning("R")],
    ),
    (
        "the older way to call functions",
        [
            message("assistant", None, function_call={"name": "f", "arguments": "{}"}),
            message("function", "F", name="f"),
        ],
        None,
        [FunctionCall("f", "{}"), FunctionResult("f", "F")],
    ),
]


@pytest.mark.parametrize(
    ("messages", "instructions", "items"),
    [row[1:] for row in CONVERSATIONS],
    ids=[row[0] for row in CONVERSATIONS],
)
def test_messages(
    messages: list[dict[str, Any]], instructions: str | None, items: list[Item]
) -> None:
    conversation = turn(messages=messages).conversation
    assert conversation.instructions == instructions
    assert list(conversation.items) == items
    assert conversation.date == DATE


@pytest.mark.parametrize(
    ("fields", "effort"),
    [
        ({}, Effort.MEDIUM),
        ({"reasoning_effort": None}, Effort.MEDIUM),
        ({"reasoning_effort": "none"}, Effort.LOW),
        ({"reasoning_effort": "minimal"}, Effort.LOW),
        ({"reasoning_effort": "low"}, Effort.LOW),
        ({"reasoning_effort": "xhigh"}, Effort.HIGH),
        ({"reasoning_effort": "ultra"}, Effort.HIGH),
        ({"reasoning": {"effort": "ultra"}}, Effort.HIGH),
        ({"reasoning": {"effort": "high"}}, Effort.HIGH),
        ({"reasoning": {"exclude": True}}, Effort.MEDIUM),
        ({"chat_template_kwargs": {"reasoning_effort": "low"}}, Effort.LOW),
        ({"chat_template_kwargs": {}}, Effort.MEDIUM),
        ({"reasoning_effort": "high", "reasoning": {"effort": "low"}}, Effort.HIGH),
    ],
)
def test_effort(fields: dict[str, Any], effort: Effort) -> None:
    assert turn(**fields).conversation.effort is effort


def test_sampling() -> None:
    assert turn().sampling == SamplingParams()
    assert turn(
        temperature=0,
        top_p=0.5,
        top_k=40,
        min_p=0.1,
        presence_penalty=-2,
        frequency_penalty=2,
        repetition_penalty=1.1,
        logit_bias={"7": -100, "8": 1.5},
        seed=3,
        logprobs=True,
    ).sampling == SamplingParams(
        temperature=0,
        top_p=0.5,
        top_k=40,
        min_p=0.1,
        presence_penalty=-2,
        frequency_penalty=2,
        repetition_penalty=1.1,
        logit_bias={7: -100, 8: 1.5},
        seed=3,
        top_logprobs=0,
    )
    assert turn(logprobs=True, top_logprobs=20).sampling.top_logprobs == 20
    assert turn(logprobs=False).sampling.top_logprobs is None
    assert turn(top_k=-1).sampling.top_k == 0


def test_limits_and_stops() -> None:
    assert (turn().max_tokens, turn().choices, turn().stops) == (None, 1, ())
    assert turn(max_tokens=5).max_tokens == 5
    assert turn(max_tokens=5, max_completion_tokens=7).max_tokens == 7
    assert turn(stop="a").stops == ("a",)
    assert turn(stop=["a", "b"], n=3).stops == ("a", "b")
    assert turn(n=3).choices == 3


def test_tools_and_formats() -> None:
    function = {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True}
    tools = [{"type": "function", "function": function}]
    shown = (FunctionTool("f", "d", {"type": "object"}),)
    assert turn(tools=tools).conversation.tools == shown
    assert turn(tools=tools, tool_choice="auto").conversation.tools == shown
    assert turn(tools=tools, tool_choice="none").conversation.tools == ()
    assert turn(response_format={"type": "text"}).conversation.response_format is None
    assert turn(response_format={"type": "json_object"}).conversation.response_format == (
        ResponseFormat("json_object", {"type": "object"})
    )
    schema = {"name": "n", "schema": {"a": 1}, "description": "d", "strict": False}
    wanted = {"type": "json_schema", "json_schema": schema}
    assert turn(response_format=wanted).conversation.response_format == (
        ResponseFormat("n", {"a": 1}, "d")
    )


@given(st.integers(-(2**200), 2**200))
def test_every_seed_folds_into_64_bits(seed: int) -> None:
    assert 0 <= fold_seed(seed) < 2**64
    assert fold_seed(seed) == fold_seed(seed)


def test_seeds_stay_apart() -> None:
    seeds = [0, 1, -1, 2**63, 2**64 - 2, 2**64, 2**64 + 1, 2**70, -(2**70), 2**128]
    assert len({fold_seed(seed) for seed in seeds}) == len(seeds)
    assert fold_seed(7) == 7


FIELDS = sorted(ChatRequest.model_fields)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=8)
    | st.sampled_from(["user", "assistant", "tool", "text", "function", "auto", "high"])
)
KEYS = st.sampled_from(
    [*FIELDS, "role", "content", "type", "text", "id", "name", "arguments", "json_schema", "schema"]
) | st.text(max_size=4)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=6))
def test_any_json_is_converted_or_refused(fields: dict[str, Any]) -> None:
    try:
        result = turn(**fields)
    except InvalidRequest as error:
        assert error.param  # noqa: PT017 - either outcome is right
    else:
        assert result.choices >= 1
