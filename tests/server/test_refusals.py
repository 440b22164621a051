"""Every input that cannot be honoured is refused by its name; the rest is accepted."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.server.conftest import Serve
from tests.support.server.harness import Server, ask_chat, chat_body, post
from tests.support.server.scripts import HELLO

USER: Any = {"role": "user", "content": "Hello!"}


FUNCTION: Any = {"type": "function", "function": {"name": "f"}}


@pytest.fixture
def server(serve: Serve) -> Server:
    return serve(HELLO)


def messages(*items: Any) -> dict[str, Any]:
    return {"messages": [USER, *items]}


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"model": None}, "model"),
    ({"model": 5}, "model"),
    ({"messages": []}, "messages"),
    ({"messages": "hi"}, "messages"),
    ({"messages": [5]}, "messages[0]"),
    ({"messages": [{"role": "narrator", "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "user"}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
    (
        {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
        "messages[0].content[0].text",
    ),
    (
        messages({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}),
        "messages[1].content[0]",
    ),
    (
        messages({"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "file"}]}),
        "messages[1].content[1]",
    ),
    (messages({"role": "user", "content": [{"type": "input_audio"}]}), "messages[1].content[0]"),
    (messages({"role": "tool", "content": "x"}), "messages[1].tool_call_id"),
    (
        messages({"role": "tool", "tool_call_id": "call_9", "content": "x"}),
        "messages[1].tool_call_id",
    ),
    (messages({"role": "assistant"}), "messages[1].content"),
    (
        messages({"role": "assistant", "tool_calls": [{"id": "a", "type": "custom"}]}),
        "messages[1].tool_calls[0].custom",
    ),
    ({"messages": [{"role": "user", "content": "x", "name": "\ud800"}]}, "messages[0].name"),
    ({"temperature": 2.1}, "temperature"),
    ({"temperature": "1"}, "temperature"),
    ({"temperature": True}, "temperature"),
    ({"temperature": float("nan")}, "temperature"),
    ({"temperature": float("inf")}, "temperature"),
    ({"temperature": 10**400}, "temperature"),
    ({"top_p": -0.1}, "top_p"),
    ({"top_p": 1.1}, "top_p"),
    ({"top_k": 1.5}, "top_k"),
    ({"min_p": 2}, "min_p"),
    ({"presence_penalty": -3}, "presence_penalty"),
    ({"repetition_penalty": 0}, "repetition_penalty"),
    ({"n": 0}, "n"),
    ({"n": 9}, "n"),
    ({"n": True}, "n"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_completion_tokens": "7"}, "max_completion_tokens"),
    ({"top_logprobs": 3}, "top_logprobs"),
    ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
    ({"logprobs": 3}, "logprobs"),
    ({"stop": ""}, "stop[0]"),
    ({"stop": ["a", 5]}, "stop[1]"),
    ({"stop": ["a"] * 17}, "stop"),
    ({"stop": 5}, "stop"),
    ({"seed": 1.5}, "seed"),
    ({"logit_bias": {"a": 1}}, "logit_bias.a"),
    ({"logit_bias": {"201088": 1}}, "logit_bias.201088"),
    ({"logit_bias": {"5": 101}}, "logit_bias.5"),
    ({"stream_options": {"include_usage": True}}, "stream_options"),
    ({"stream": True, "stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
    ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
    ({"tools": [{"type": "function"}]}, "tools[0].function"),
    (
        {"tools": [{"type": "function", "function": {"name": "a b"}}]},
        "tools[0].function.name",
    ),
    ({"tools": [FUNCTION, FUNCTION]}, "tools[1].function.name"),
    ({"tools": [FUNCTION], "tool_choice": "required"}, "tool_choice"),
    (
        {"tools": [FUNCTION], "tool_choice": {"type": "function", "function": {"name": "other"}}},
        "tool_choice",
    ),
    ({"response_format": {"type": "xml"}}, "response_format.type"),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a"}}},
        "response_format.json_schema.schema",
    ),
    (
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "a", "schema": {}, "strict": True},
            }
        },
        "response_format.json_schema.strict",
    ),
    ({"reasoning_effort": "extreme"}, "reasoning_effort"),
    ({"reasoning": {"effort": "extreme"}}, "reasoning.effort"),
    ({"chat_template_kwargs": {"reasoning_effort": 3}}, "chat_template_kwargs.reasoning_effort"),
    ({"modalities": ["text", "audio"]}, "modalities"),
    ({"audio": {"voice": "x"}}, "audio"),
    ({"functions": []}, "functions"),
    ({"function_call": "auto"}, "function_call"),
    ({"web_search_options": {}}, "web_search_options"),
    ({"moderation": {"model": "m"}}, "moderation"),
]


@pytest.mark.parametrize("streamed", [False, True])
def test_every_refusal_names_its_field(server: Server, streamed: bool) -> None:
    for fields, param in REFUSED:
        options = (
            fields if not streamed or "stream_options" in fields else {"stream": True, **fields}
        )
        answer = ask_chat(server, **options)
        assert (answer.status, answer.error["param"]) == (400, param), fields
        assert answer.error["type"] == "invalid_request_error"
        assert answer.headers["content-type"] == "application/json"
        assert "x-request-id" in answer.headers
    assert server.services.engine.status().active == 0


@pytest.mark.parametrize("missing", ["model", "messages"])
def test_required_fields(server: Server, missing: str) -> None:
    body = json.loads(chat_body())
    del body[missing]
    error = post(server, json.dumps(body).encode()).error
    assert error["param"] == missing
    assert error["code"] == "missing_required_parameter"


ACCEPTED: list[dict[str, Any]] = [
    {"user": "u", "metadata": {"a": 1}, "store": True, "service_tier": "auto", "nonsense": [1]},
    {"seed": 2**70},
    {"seed": -(2**70)},
    {"seed": -1},
    {"temperature": 0, "top_p": 1, "top_k": -1, "min_p": 0},
    {"top_p": 0},
    {"top_p": -0.0},
    {"temperature": None, "n": None, "stop": None, "tools": None, "logit_bias": None},
    {"parallel_tool_calls": False, "verbosity": "low", "prompt_cache_key": "k"},
    {"modalities": ["text"], "prediction": {"type": "content", "content": "x"}},
    {"reasoning_effort": "none"},
    {"reasoning_effort": "xhigh"},
    {"reasoning": {"effort": "high"}},
    {"chat_template_kwargs": {"reasoning_effort": "low", "enable_thinking": True}},
    {"tools": [], "tool_choice": "auto"},
    {"response_format": {"type": "text"}},
    {"max_tokens": 10**30},
    {"messages": [{"role": "system", "content": "only instructions"}]},
    {"messages": [{"role": "user", "content": "\ud800 lone", "name": "Ann"}]},
    {"messages": [USER, {"role": "assistant", "content": None, "refusal": "no"}, USER]},
    {"messages": [USER, {"role": "assistant", "reasoning_content": "hm", "content": ""}, USER]},
]


def test_what_is_accepted(server: Server) -> None:
    for fields in ACCEPTED:
        answer = ask_chat(server, **fields)
        assert answer.status == 200, (fields, answer.body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"\xff\xfe{}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"seed": ' + b"9" * 5000 + b"}",
    ],
    ids=lambda body: repr(body[:12]),
)
def test_bodies_that_are_not_a_json_object(server: Server, body: bytes) -> None:
    answer = post(server, body)
    assert answer.status == 400
    assert answer.error["code"] == "invalid_json"


def test_echoed_text_stays_valid_utf8(server: Server) -> None:
    tools = [FUNCTION, {"type": "function", "function": {"name": "g"}}]
    answer = ask_chat(
        server,
        tools=tools,
        messages=[{"role": "tool", "tool_call_id": "\ud800x", "content": "x"}],
    )
    assert answer.status == 400
    assert "\ufffdx" in answer.error["message"]
