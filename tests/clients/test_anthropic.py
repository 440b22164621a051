"""Anthropic's Messages as their official client sees them."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from mlxoss.harmony.encoding import Encoding
from mlxoss.harmony.grammar.compiler import GrammarCompiler
from tests.fakes import ScriptedBackend
from tests.server.conftest import Serve
from tests.server.harness import Server, ask, eventually
from tests.server.scripts import AFTER_CALL, CALL, HELLO, by_last_words, endless, final, to_ids

anthropic = pytest.importorskip("anthropic")

USER: Any = {"role": "user", "content": "Hello!"}
ASKED: Any = {"role": "user", "content": "Weather?"}
SHOWN: Any = {"type": "adaptive"}
TOOL: Any = {
    "name": "get_weather",
    "description": "The weather in a city.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}
ANSWERS = {"Weather": CALL, "sunny": AFTER_CALL, "Hello": HELLO, "Count": final("1, 2, 3, 4")}


@pytest.fixture
def backend(encoding: Encoding) -> ScriptedBackend:
    return ScriptedBackend(by_last_words(encoding, ANSWERS))


@pytest.fixture
def server(serve: Serve, backend: ScriptedBackend) -> Server:
    return serve(backend)


@pytest.fixture
def connect() -> Iterator[Any]:
    """Make clients of a server's URL, closed in the end."""
    with ExitStack() as stack:
        yield lambda url: stack.enter_context(
            anthropic.Anthropic(base_url=url, api_key="none", max_retries=0, timeout=60.0)
        )


@pytest.fixture
def client(server: Server, connect: Any) -> Any:
    return connect(server.url)


def create(client: Any, *messages: Any, **fields: Any) -> Any:
    wanted = {"model": "claude", "max_tokens": 300, "messages": messages or [USER]} | fields
    message = client.messages.create(**wanted)
    anthropic.types.Message.model_validate(message.to_dict(), strict=True)
    return message


def stream(client: Any, *messages: Any, **fields: Any) -> tuple[list[Any], Any]:
    """The events, and the message that the client makes of them."""
    wanted = {"model": "claude", "max_tokens": 300, "messages": messages or [USER]} | fields
    with client.messages.stream(**wanted) as events:
        return [event.type for event in events], events.get_final_message()


def without_ids(message: Any) -> Any:
    """What two answers to the same have in common: ids, and seals with their nonces, do not."""
    plain = message.to_dict()
    content = [
        block | {name: name for name in ("id", "signature") if name in block}
        for block in plain["content"]
    ]
    own = {"id", "usage", "content", "stop_details"}
    return {name: plain[name] for name in plain.keys() - own} | {"content": content}


def test_a_whole_answer(client: Any) -> None:
    message = create(client)
    (block,) = message.content
    assert (block.type, block.text) == ("text", "Hello, wörld 🎉!")
    assert (message.stop_reason, message.stop_sequence) == ("end_turn", None)
    assert message.model == "tiny/gpt-oss"
    assert message._request_id.startswith("req_")
    usage = message.usage
    counted = client.messages.count_tokens(model="m", messages=[USER])
    assert counted.input_tokens == usage.input_tokens + usage.cache_read_input_tokens
    assert usage.output_tokens > usage.output_tokens_details.thinking_tokens > 0


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": [USER]},
        {"messages": [USER], "thinking": SHOWN},
        {"messages": [USER], "thinking": {"type": "adaptive", "display": "omitted"}},
        {"messages": [ASKED], "tools": [TOOL], "thinking": SHOWN},
        {"messages": [ASKED], "tools": [TOOL], "max_tokens": 3, "thinking": SHOWN},
        {"messages": [ASKED], "tools": [TOOL], "max_tokens": 36},
        {"messages": [{"role": "user", "content": "Count"}], "stop_sequences": ["x", "3"]},
    ],
)
def test_a_stream_makes_up_the_same_message(client: Any, fields: Any) -> None:
    events, message = stream(client, **fields)
    whole = create(client, **fields)
    assert without_ids(message) == without_ids(whole)
    assert message.usage.output_tokens == whole.usage.output_tokens
    assert events[0] == "message_start"
    assert events[-2:] == ["message_delta", "message_stop"]
    starts, stops = (events.count(f"content_block_{what}") for what in ("start", "stop"))
    assert starts == stops == len(whole.content)


def test_thinking_is_for_those_who_ask(client: Any) -> None:
    cases: list[tuple[Any, list[str]]] = [
        (None, ["text"]),
        ({"type": "disabled"}, ["text"]),
        ({"type": "enabled", "budget_tokens": 1024}, ["thinking", "text"]),
        (SHOWN, ["thinking", "text"]),
    ]
    for thinking, blocks in cases:
        message = create(client, **({"thinking": thinking} if thinking else {}))
        assert [block.type for block in message.content] == blocks
        if blocks[0] == "thinking":
            assert message.content[0].thinking == "They greet me."
    message = create(client, thinking={"type": "adaptive", "display": "omitted"})
    assert message.content[0].thinking == ""
    assert message.content[0].signature


def test_why_an_answer_ends(client: Any) -> None:
    count: Any = {"role": "user", "content": "Count"}
    cases: list[tuple[dict[str, Any], str, str | None]] = [
        ({}, "end_turn", None),
        ({"max_tokens": 4}, "max_tokens", None),
        ({"stop_sequences": ["9", "3"]}, "stop_sequence", "3"),
        ({"stop_sequences": ["3, 4", ", 3"]}, "stop_sequence", ", 3"),
        ({"stop_sequences": ["9"]}, "end_turn", None),
    ]
    for fields, reason, stop in cases:
        message = create(client, count, **fields)
        assert (message.stop_reason, message.stop_sequence) == (reason, stop), fields


def test_an_answer_may_fill_the_context(serve: Serve, encoding: Encoding, connect: Any) -> None:
    client = connect(serve(endless(encoding)).url)
    # A passage that repeats would end it sooner; what is asked for leaves no room for that.
    long: Any = {"role": "user", "content": "word " * 4000}
    reasons = {most: create(client, long, max_tokens=most).stop_reason for most in (1, 4000)}
    assert reasons == {1: "max_tokens", 4000: "model_context_window_exceeded"}


KEPT = {"as it came": (), "without thinking": ("thinking",)}


@pytest.mark.parametrize("thinking", [None, SHOWN, {"type": "adaptive", "display": "omitted"}])
@pytest.mark.parametrize("kept", KEPT)
def test_a_tool_loop_restores_the_turn_to_the_token(
    client: Any, backend: ScriptedBackend, encoding: Encoding, thinking: Any, kept: str
) -> None:
    fields: Any = {"tools": [TOOL]} | ({"thinking": thinking} if thinking else {})
    asked = create(client, ASKED, **fields)
    assert asked.stop_reason == "tool_use"
    *_, text, call = asked.content
    assert text.text == "Let me look."
    assert (call.name, call.input) == ("get_weather", {"city": "Oslo"})
    blocks = [block.to_dict() for block in asked.content if block.type not in KEPT[kept]]
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}
    answer = create(
        client,
        ASKED,
        {"role": "assistant", "content": blocks},
        {"role": "user", "content": [result]},
        **fields,
    )
    assert answer.content[-1].text == "It is sunny in Oslo."
    first, second = (list(request.prompt_ids) for request in backend.inserted)
    start = [*first, *to_ids(encoding, CALL)]
    assert second[: len(start)] == start


def test_thinking_comes_back_from_its_signature_alone(
    client: Any, backend: ScriptedBackend, encoding: Encoding
) -> None:
    asked = create(client, ASKED, tools=[TOOL], thinking=SHOWN)
    thinking, _, call = (block.to_dict() for block in asked.content)
    # A call of another id is one that the server knows nothing of.
    call["id"] = "toolu_other"
    result = {"type": "tool_result", "tool_use_id": call["id"], "content": "sunny"}
    written = to_ids(encoding, "analysis<|message|>I need the weather.<|end|>")
    for first, is_exact in [
        (thinking, True),
        (thinking | {"thinking": ""}, True),
        ({"type": "redacted_thinking", "data": thinking["signature"]}, True),
        (thinking | {"signature": "another server's"}, True),
        (thinking | {"signature": "another server's", "thinking": "No."}, False),
    ]:
        messages = [ASKED, {"role": "assistant", "content": [first, call]}]
        create(client, *messages, {"role": "user", "content": [result]}, tools=[TOOL])
        prompt = str(list(backend.inserted[-1].prompt_ids))
        assert (str(written)[1:-1] in prompt) is is_exact


def test_any_and_named_calls_are_made(leaning: openai.OpenAI, connect: Any) -> None:
    client = connect(str(leaning.base_url).removesuffix("/v1/"))
    other: Any = TOOL | {"name": "other", "input_schema": {"type": "object"}, "strict": False}
    for choice, names in [
        ({"type": "tool", "name": "get_weather"}, {"get_weather"}),
        ({"type": "any"}, {"get_weather", "other"}),
        ({"type": "none"}, set()),
    ]:
        message = create(
            client,
            tools=[TOOL, other],
            tool_choice=choice,
            max_tokens=400,
            extra_body={"seed": 3},
        )
        calls = [block for block in message.content if block.type == "tool_use"]
        assert {call.name for call in calls} <= names
        if choice["type"] in ("tool", "any"):
            assert calls
        for call in calls:
            if call.name == "get_weather" and message.stop_reason == "tool_use":
                assert call.input.keys() == {"city"}
    single = {"type": "any", "disable_parallel_tool_use": True}
    message = create(client, tools=[TOOL], tool_choice=single, max_tokens=400)
    assert [block.type for block in message.content].count("tool_use") == 1


class Place(BaseModel):
    city: str
    degrees: int


def test_an_output_format_is_followed(leaning: openai.OpenAI, connect: Any) -> None:
    client = connect(str(leaning.base_url).removesuffix("/v1/"))
    seed = random.randrange(2**32)
    print("seed", seed)  # noqa: T201 - shown when the test fails
    schema = Place.model_json_schema() | {"additionalProperties": False}
    message = create(
        client,
        max_tokens=400,
        output_config={"format": {"type": "json_schema", "schema": schema}},
        extra_body={"seed": seed},
    )
    if message.stop_reason == "end_turn":
        Place.model_validate_json(message.content[-1].text, strict=True)


IMAGE: Any = {"type": "image", "source": {"type": "url", "url": "http://localhost/a.png"}}
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"messages": []}, "messages"),
    ({"messages": [{"role": "user", "content": [IMAGE]}]}, "messages[0].content[0].type"),
    (
        {"messages": [USER, {"role": "user", "content": [{"type": "document"}]}]},
        "messages[1].content[0].type",
    ),
    ({"messages": [USER, {"role": "assistant", "content": "The"}]}, "messages[1].role"),
    (
        {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "x"}]}]},
        "messages[0].content[0].tool_use_id",
    ),
    ({"system": [IMAGE]}, "system[0].type"),
    ({"max_tokens": None}, "max_tokens"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"temperature": 3}, "temperature"),
    ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].type"),
    ({"tools": [{"name": "f"}]}, "tools[0].input_schema"),
    ({"tools": [{"name": "f", "input_schema": {"type": "array"}}]}, "tools[0].input_schema.type"),
    ({"tools": [TOOL, TOOL]}, "tools[1].name"),
    ({"tools": [TOOL], "tool_choice": {"type": "tool"}}, "tool_choice.name"),
    ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "g"}}, "tool_choice"),
    ({"tool_choice": {"type": "any"}}, "tool_choice"),
    ({"tool_choice": {"type": "some"}}, "tool_choice.type"),
    ({"thinking": {"type": "long"}}, "thinking.type"),
    ({"stop_sequences": [""]}, "stop_sequences[0]"),
    ({"mcp_servers": [{"type": "url"}]}, "mcp_servers"),
    ({"container": "c"}, "container"),
    (
        {"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]}},
        "context_management.edits[0].type",
    ),
    ({"top_logprobs": 1}, "top_logprobs"),
]


@pytest.mark.parametrize(("fields", "param"), REFUSED)
def test_what_cannot_be_done_is_refused_by_its_name(
    server: Server, fields: dict[str, Any], param: str
) -> None:
    body = {"model": "m", "max_tokens": 9, "messages": [USER]} | fields
    headers = {"content-type": "application/json", "x-request-id": "mine"}
    answer = ask(server, "POST", "/v1/messages", json.dumps(body).encode(), headers)
    assert answer.status == 400
    assert answer.json == {
        "type": "error",
        "error": {
            "type": "invalid_request_error",
            "message": answer.json["error"]["message"],
        },
        "request_id": "mine",
    }
    assert f"'{param}'" in answer.json["error"]["message"]
    assert answer.headers["request-id"] == "mine"


def test_errors_are_of_the_client_s_own_classes(
    serve: Serve, encoding: Encoding, connect: Any
) -> None:
    long: Any = {"role": "user", "content": "word " * 5000}
    client = connect(serve(endless(encoding)).url)
    with pytest.raises(anthropic.BadRequestError, match=r"prompt is too long: \d+ tokens > 4096"):
        create(client, long)
    for path, body in [("/v1/messages", b"{"), ("/v1/messages/count_tokens", b"[]")]:
        refused = client._client.post(path, content=body)
        assert refused.status_code == 400
        assert refused.json()["error"]["type"] == "invalid_request_error"
    for path in ("/v1/messages", "/v1/messages//"):
        wrong = client._client.get(path)
        assert wrong.status_code == 405
        assert wrong.json()["type"] == "error"


def test_a_failure_in_the_middle_is_an_event(
    server: Server, client: Any, backend: ScriptedBackend, logged_errors: Any
) -> None:
    create(client)
    backend.token_errors[(backend.inserted[0].prompt_ids[0], 20)] = RuntimeError("broken")
    with pytest.raises(anthropic.APIStatusError) as failed:
        stream(client, max_tokens=300)
    assert failed.value.body["error"]["type"] == "api_error"
    assert logged_errors()


def test_silence_is_filled_with_pings(serve: Serve, backend: ScriptedBackend, connect: Any) -> None:
    server = serve(backend, heartbeat_s=0.05)
    backend.gate.clear()
    body = {"model": "m", "max_tokens": 90, "messages": [USER], "stream": True}
    with connect(server.url)._client.stream("POST", "/v1/messages", json=body) as answer:
        lines = answer.iter_lines()
        for _ in range(2):
            assert next(line for line in lines if line) == "event: ping"
            assert json.loads(next(lines).removeprefix("data: ")) == {"type": "ping"}
        backend.gate.set()
        assert json.loads(list(lines)[-2].removeprefix("data: ")) == {"type": "message_stop"}


def test_a_client_that_leaves_frees_its_slot(
    serve: Serve, encoding: Encoding, connect: Any
) -> None:
    server = serve(endless(encoding))
    body: Any = {"model": "m", "max_tokens": 4000, "messages": [USER]}
    with connect(server.url).messages.stream(**body) as events:
        next(iter(events))
    eventually(lambda: server.services.engine.status().active == 0)


def test_guards_are_the_same_as_chat_s(
    serve: Serve, backend: ScriptedBackend, guards: GrammarCompiler, connect: Any
) -> None:
    client = connect(serve(backend, guards=guards).url)
    create(client, ASKED, tools=[TOOL])
    client._client.post(
        "/v1/chat/completions",
        json={
            "model": "m",
            "messages": [ASKED],
            "tools": [
                {
                    "type": "function",
                    "function": {
                        "name": TOOL["name"],
                        "description": TOOL["description"],
                        "parameters": TOOL["input_schema"],
                        "strict": True,
                    },
                }
            ],
        },
    )
    ours, theirs = backend.inserted
    assert ours.prompt_ids == theirs.prompt_ids
    assert ours.grammar is theirs.grammar is not None
