"""Ollama's door, as Ollama's official client asks and reads."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import ollama
import openai
import pytest
from pydantic import BaseModel

from mlxoss.api_key_file import create_key
from mlxoss.config import Config
from mlxoss.harmony.encoding import Encoding
from tests.server.conftest import Serve
from tests.support.fakes import ScriptedBackend
from tests.support.http import Answer, ask
from tests.support.server.harness import DATE, Server, ask_chat
from tests.support.server.scripts import CALL, HELLO, always, endless, to_ids
from tests.support.waiting import HANG_S, until

NAME = "tiny/gpt-oss"
USER: Any = {"role": "user", "content": "Hello!"}
ASKED: Any = {"role": "user", "content": "Weather?"}
RESULT: Any = {"role": "tool", "tool_name": "get_weather", "content": "sunny"}
TOOL: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="


class Place(BaseModel):
    city: str
    degrees: int


Client = Callable[[Server], ollama.Client]


@pytest.fixture
def connect_ollama() -> Iterator[Client]:
    """Ollama's official client of a server."""
    with ExitStack() as stack:

        def connect(server: Server) -> ollama.Client:
            client = ollama.Client(server.url, timeout=HANG_S)
            stack.callback(client.close)
            return client

        yield connect


@pytest.fixture
def client(talking: Server, connect_ollama: Client) -> ollama.Client:
    return connect_ollama(talking)


def chat(server: Server, *messages: Any, **fields: Any) -> Answer:
    """A whole answer of raw HTTP."""
    wanted = {"model": "gpt-oss:20b", "messages": messages or [USER], "stream": False} | fields
    return ask(server, "POST", "/api/chat", wanted)


def refusal(server: Server, *messages: Any, **fields: Any) -> str:
    """What a chat is refused with: 400, in Ollama's shape."""
    answer = chat(server, *messages, **fields)
    assert answer.status == 400, answer.body
    assert set(answer.json) == {"error"}
    message: str = answer.json["error"]
    return message


def prompt(backend: ScriptedBackend, encoding: Encoding) -> str:
    """The last prompt."""
    return encoding.decode(backend.inserted[-1].prompt_ids)


def test_a_whole_answer(client: ollama.Client) -> None:
    answer = client.chat("gpt-oss:20b", [USER])
    assert answer.message.content == "Hello, wörld 🎉!"
    assert answer.message.thinking == "They greet me."
    assert (answer.model, answer.done, answer.done_reason) == (NAME, True, "stop")
    assert answer.prompt_eval_count
    assert answer.eval_count
    parts = (answer.load_duration, answer.prompt_eval_duration, answer.eval_duration)
    assert answer.total_duration == pytest.approx(sum(filter(None, parts)), abs=2)
    assert answer.created_at is not None
    assert answer.created_at.endswith("Z")


@pytest.mark.parametrize("name", ["gpt-oss", "gpt-oss:latest", "gpt-oss:120b", NAME])
def test_any_name_is_the_model(client: ollama.Client, name: str) -> None:
    assert client.chat(name, [USER]).model == NAME
    assert client.show(name).details


def test_a_stream_is_the_whole_answer_in_lines(client: ollama.Client) -> None:
    *lines, last = client.chat("m", [USER], stream=True)
    assert not any(line.done for line in lines)
    assert "".join(line.message.content or "" for line in lines) == "Hello, wörld 🎉!"
    assert "".join(line.message.thinking or "" for line in lines) == "They greet me."
    assert (last.done, last.done_reason, last.message.content) == (True, "stop", "")
    whole = client.chat("m", [USER])
    assert (last.eval_count, last.prompt_eval_count) == (whole.eval_count, whole.prompt_eval_count)


def test_it_streams_unless_told_not_to(talking: Server) -> None:
    for fields in ({}, {"stream": None}, {"stream": True}):
        body = {"model": "m", "messages": [USER], **fields}
        answer = ask(talking, "POST", "/api/chat", body)
        assert answer.headers["content-type"] == "application/x-ndjson"
        *lines, last = [json.loads(line) for line in answer.body.splitlines()]
        assert [line["done"] for line in lines] == [False] * len(lines)
        assert last["done"]


@pytest.mark.parametrize("streamed", [False, True])
def test_a_tool_loop(client: ollama.Client, streamed: bool) -> None:
    messages: list[Any] = [ASKED]
    if streamed:
        lines = list(client.chat("m", messages, tools=[TOOL], stream=True))
        assert lines[-1].done_reason == "stop"
        told = ollama.Message(
            role="assistant",
            content="".join(line.message.content or "" for line in lines),
            thinking="".join(line.message.thinking or "" for line in lines),
            tool_calls=[call for line in lines for call in line.message.tool_calls or ()],
        )
    else:
        told = client.chat("m", messages, tools=[TOOL]).message
    assert (told.content, told.thinking) == ("Let me look.", "I need the weather.")
    assert told.tool_calls
    (call,) = told.tool_calls
    assert (call.function.name, call.function.arguments) == ("get_weather", {"city": "Oslo"})
    messages += [told, RESULT]
    assert client.chat("m", messages, tools=[TOOL]).message.content == "It is sunny in Oslo."


def test_who_sends_a_calls_id_back_gets_the_exact_turn(
    talking: Server, talker: ScriptedBackend, encoding: Encoding
) -> None:
    told = chat(talking, ASKED, tools=[TOOL]).json["message"]
    written = str(to_ids(encoding, CALL.removesuffix("<|call|>")))[1:-1]
    (call,) = told["tool_calls"]
    assert call["function"] == {"index": 0, "name": "get_weather", "arguments": {"city": "Oslo"}}
    del told["thinking"]
    for answer in (RESULT, {"role": "tool", "tool_call_id": call["id"], "content": "sunny"}):
        assert chat(talking, ASKED, told, answer, tools=[TOOL]).status == 200
        assert written in str(talker.inserted[-1].prompt_ids)
    call["id"] = "call_other"
    assert chat(talking, ASKED, told, RESULT, tools=[TOOL]).status == 200
    assert "I need the weather." not in prompt(talker, encoding)


def test_who_drops_it_gets_the_turn_by_what_was_said_before(
    talking: Server, client: ollama.Client, talker: ScriptedBackend, encoding: Encoding
) -> None:
    system = {"role": "system", "content": "Lone \udcff"}
    said = [system, ASKED, made(("get_weather", 1)), RESULT, ASKED]
    told = json.loads(chat(talking, *said, tools=[TOOL]).body)["message"]
    (call,) = told["tool_calls"]
    del told["thinking"], call["id"]
    written = str(to_ids(encoding, CALL.removesuffix("<|call|>")))[1:-1]
    for history, is_exact in [
        ([*said, told], True),
        ([*said, {**told, "content": "Let me see."}], False),
        ([ASKED, told], False),
    ]:
        assert chat(talking, *history, RESULT, tools=[TOOL]).status == 200
        assert (written in str(talker.inserted[-1].prompt_ids)) is is_exact
    # The official client's own messages have no ids.
    first = client.chat("m", [ASKED], tools=[TOOL]).message
    client.chat("m", [ASKED, first, RESULT], tools=[TOOL])
    assert written in str(talker.inserted[-1].prompt_ids)


def test_callers_do_not_share_ids(serve: Serve, tmp_path: Path) -> None:
    server = serve(CALL, folder=tmp_path)

    def ids(key: str) -> set[str]:
        headers = {"authorization": f"Bearer {key}"}
        body = {"model": "m", "messages": [ASKED], "tools": [TOOL], "stream": False}
        answers = [ask(server, "POST", "/api/chat", body, headers) for _ in range(2)]
        return {answer.json["message"]["tool_calls"][0]["id"] for answer in answers}

    first, second = (ids(create_key(tmp_path, name, time.time())) for name in ("one", "two"))
    assert len(first) == len(second) == 1
    assert first != second


def made(*calls: tuple[str, int]) -> Any:
    """A message with calls of an older client, which has no ids."""
    functions = [{"name": name, "arguments": {"n": n}} for name, n in calls]
    called = [{"function": function} for function in functions]
    return {"role": "assistant", "content": "", "thinking": "Two.", "tool_calls": called}


def test_tools_answer_by_name_or_in_order(
    talking: Server, talker: ScriptedBackend, encoding: Encoding
) -> None:
    calls = made(("one", 1), ("two", 2), ("one", 3))
    for names in (
        ["one", "two", "one"],
        ["two", "one", "one"],
        [None, None, None],
        ["one", None, None],
    ):
        answers = [
            {"role": "tool", "content": f"r{place}", **({"tool_name": name} if name else {})}
            for place, name in enumerate(names)
        ]
        assert chat(talking, ASKED, calls, *answers, USER).status == 200
        told = prompt(talker, encoding)
        order = names if None not in names else ["one", "two", "one"]
        for place, name in enumerate(order):
            assert f"<|start|>functions.{name} to=assistant<|channel|>commentary<|message|>" in told
            assert f"functions.{name} to=assistant<|channel|>commentary<|message|>r{place}" in told
    older = {"role": "tool", "name": "three", "content": "r"}
    assert chat(talking, ASKED, calls, older, USER).status == 200
    assert "functions.three to=assistant" in prompt(talker, encoding)
    nobody = {"role": "tool", "content": "r"}
    assert "'messages[1].tool_name'" in refusal(talking, ASKED, nobody)


def test_thinking_goes_back_within_a_tool_loop(
    talking: Server, talker: ScriptedBackend, encoding: Encoding
) -> None:
    calls = made(("get_weather", 1))
    chat(talking, ASKED, calls, RESULT)
    told = prompt(talker, encoding)
    assert "<|channel|>analysis<|message|>Two.<|end|>" in told
    assert "to=functions.get_weather<|channel|>commentary" in told
    assert '<|message|>{"n": 1}<|call|>' in told


@pytest.mark.parametrize(
    ("think", "line", "is_shown"),
    [
        (None, "medium", True),
        (True, "medium", True),
        (False, "low", False),
        ("low", "low", True),
        ("high", "high", True),
    ],
)
def test_think(
    talking: Server,
    talker: ScriptedBackend,
    encoding: Encoding,
    connect_ollama: Client,
    think: Any,
    line: str,
    is_shown: bool,
) -> None:
    message = connect_ollama(talking).chat("m", [USER], think=think).message
    assert message.content == "Hello, wörld 🎉!"
    assert (message.thinking == "They greet me.") is is_shown
    assert f"Reasoning: {line}" in prompt(talker, encoding)


def test_options_are_chats(talking: Server, talker: ScriptedBackend) -> None:
    options = {
        "temperature": 0,
        "top_p": 0.5,
        "top_k": 7,
        "min_p": 0.1,
        "seed": 5,
        "repeat_penalty": 1.1,
        "presence_penalty": 0.2,
        "frequency_penalty": 0.3,
        "num_predict": 9,
        "num_ctx": 131072,
        "num_gpu": 99,
    }
    assert chat(talking, options=options).json["done_reason"] == "length"
    sent = talker.inserted[-1]
    sampling = sent.sampling
    assert sent.max_tokens == 9
    assert (sampling.temperature, sampling.top_p, sampling.top_k) == (0, 0.5, 7)
    assert (sampling.min_p, sampling.seed, sampling.repetition_penalty) == (0.1, 5, 1.1)
    assert (sampling.presence_penalty, sampling.frequency_penalty) == (0.2, 0.3)


def test_options_that_ask_for_nothing(talking: Server, talker: ScriptedBackend) -> None:
    plain = chat(talking, options={}).json["message"]
    limit = talker.inserted[-1].max_tokens
    for options in (
        {"num_predict": -1},
        {"num_predict": -2},
        {"seed": -1},
        {"repeat_last_n": 64, "repeat_penalty": 1.0},
        {"mirostat": 0, "tfs_z": 1, "typical_p": 1.0},
    ):
        assert chat(talking, options=options).json["message"] == plain
        assert talker.inserted[-1].max_tokens == limit
        assert talker.inserted[-1].sampling.seed is None


def test_stop_strings(client: ollama.Client) -> None:
    answer = client.chat("m", [USER], options={"stop": ["wör"]})
    assert (answer.message.content, answer.done_reason) == ("Hello, ", "stop")


def test_log_probabilities(client: ollama.Client) -> None:
    answer = client.chat("m", [USER], logprobs=True, top_logprobs=2)
    lines = list(client.chat("m", [USER], logprobs=True, top_logprobs=2, stream=True))
    assert answer.logprobs
    told = [entry for line in lines for entry in line.logprobs or ()]
    assert [entry.token for entry in told] == [entry.token for entry in answer.logprobs]
    assert "".join(entry.token for entry in answer.logprobs).startswith("Hello")


def test_json_is_asked_for(talking: Server, talker: ScriptedBackend, encoding: Encoding) -> None:
    chat(talking, format="json")
    assert "# Response Formats" in prompt(talker, encoding)
    chat(talking, format="")
    assert "# Response Formats" not in prompt(talker, encoding)


def test_a_schema_is_enforced(leaning: openai.OpenAI) -> None:
    with ollama.Client(str(leaning.base_url).removesuffix("/v1/"), timeout=HANG_S) as client:
        for seed in range(3):
            options = {"seed": seed, "num_predict": 400}
            answer = client.chat("m", [USER], format=Place.model_json_schema(), options=options)
            assert answer.done_reason == "stop"
            Place.model_validate_json(answer.message.content or "")
        with pytest.raises(ollama.ResponseError, match="'format'") as caught:
            client.chat("m", [USER], format={"type": "object", "properties": {"a": {"type": 5}}})
        assert caught.value.status_code == 400
        assert "response_format" not in caught.value.error


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"messages": [5]}, "messages[0]"),
        ({"messages": [{"role": "king", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"options": {"temperature": 3}}, "options.temperature"),
        ({"options": {"temperature": "1"}}, "options.temperature"),
        ({"options": {"num_predict": -3}}, "options.num_predict"),
        ({"options": {"mirostat": 2}}, "options.mirostat"),
        ({"options": {"max_tokens": 5}}, "options.num_predict"),
        ({"options": {"repetition_penalty": 1.1}}, "options.repeat_penalty"),
        ({"options": {"repeat_penalty": 1.1, "repeat_last_n": 64}}, "options.repeat_last_n"),
        ({"temperature": 0}, "temperature"),
        ({"max_tokens": 5}, "options.num_predict"),
        ({"response_format": {"type": "json_object"}}, "'format'"),
        ({"reasoning_effort": "low"}, "'think'"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"system": "Be brief."}, "'system'"),
        ({"think": "fast"}, "think"),
        ({"format": "xml"}, "format"),
        ({"tools": [{"type": "browser"}]}, "tools[0]"),
        ({"tools": [TOOL, TOOL]}, "tools[1].function.name"),
        ({"messages": [{**USER, "images": [PNG]}]}, "messages[0].images"),
        ({"model": None}, "model"),
    ],
)
def test_what_cannot_be_honoured_is_named(
    talking: Server, fields: dict[str, Any], named: str
) -> None:
    body = {"model": "m", "messages": [USER], "stream": False} | fields
    answer = ask(talking, "POST", "/api/chat", body)
    assert answer.status == 400
    assert named in answer.json["error"]


def test_images_of_before_become_notes(
    client: ollama.Client, talker: ScriptedBackend, encoding: Encoding
) -> None:
    seen = {"role": "user", "content": "Look.", "images": [PNG]}
    answer = {"role": "assistant", "content": "A dot."}
    assert client.chat("m", [seen, answer, USER]).message.content
    assert "Look.\n[image left out: this model reads text" in prompt(talker, encoding)
    with pytest.raises(ollama.ResponseError, match="images") as caught:
        client.chat("m", [USER, answer, seen])
    assert caught.value.status_code == 400


def test_a_prompt_longer_than_the_context_is_refused(talking: Server) -> None:
    long = {"role": "user", "content": "word " * 5000}
    assert "context length" in refusal(talking, long, truncate=True)


def test_a_call_that_is_cut_is_none(serve: Serve, encoding: Encoding) -> None:
    for limit in range(20, len(to_ids(encoding, CALL)) + 1):
        server_answer = chat_cut(serve, limit)
        calls = server_answer["message"].get("tool_calls")
        is_whole = server_answer["done_reason"] == "stop"
        assert is_whole or server_answer["done_reason"] == "length"
        if is_whole:
            assert calls[0]["function"]["arguments"] == {"city": "Oslo"}


def chat_cut(serve: Serve, limit: int) -> Any:
    answer = chat(serve(CALL), ASKED, tools=[TOOL], options={"num_predict": limit})
    assert answer.status == 200
    return answer.json


def test_a_call_that_is_no_object_is_an_error(serve: Serve, connect_ollama: Client) -> None:
    server = serve(CALL.replace('{"city": "Oslo"}', "Oslo"))
    client = connect_ollama(server)
    with pytest.raises(ollama.ResponseError, match="get_weather") as caught:
        client.chat("m", [ASKED], tools=[TOOL])
    assert caught.value.status_code == 500
    with pytest.raises(ollama.ResponseError, match="get_weather"):
        list(client.chat("m", [ASKED], tools=[TOOL], stream=True))


def test_what_breaks_a_stream_is_its_last_line(
    serve: Serve, encoding: Encoding, connect_ollama: Client
) -> None:
    server = serve(endless(encoding), config=Config(date=DATE, request_timeout=1))
    lines = connect_ollama(server).chat("m", [USER], stream=True)
    assert not next(iter(lines)).done
    with pytest.raises(ollama.ResponseError, match="request_timeout"):
        list(lines)


def test_in_silence_the_client_hears_empty_messages(
    serve: Serve, encoding: Encoding, connect_ollama: Client
) -> None:
    backend = ScriptedBackend(always(encoding, HELLO))
    backend.gate.clear()
    server = serve(backend, heartbeat_s=0.02)
    lines = []
    for line in connect_ollama(server).chat("m", [USER], stream=True):
        lines.append(line)
        if len(lines) == 3:
            backend.gate.set()
    assert all(not line.message.content and not line.message.thinking for line in lines[:3])
    assert "".join(line.message.content or "" for line in lines) == "Hello, wörld 🎉!"


def test_the_model_is_listed_and_shown(client: ollama.Client) -> None:
    (model,) = client.list().models
    assert model.model == NAME
    assert model.modified_at is not None
    assert model.modified_at.timestamp() == 1_700_000_000
    shown = client.show("gpt-oss:20b")
    assert shown.capabilities == ["completion", "tools", "thinking"]
    assert shown.modelinfo is not None
    architecture = shown.modelinfo["general.architecture"]
    assert shown.modelinfo[f"{architecture}.context_length"] == 4096
    assert shown.details is not None
    assert shown.details.family == architecture


def test_a_model_is_shown_by_either_name(talking: Server) -> None:
    assert ask(talking, "POST", "/api/show", {"name": "m"}).status == 200
    answer = ask(talking, "POST", "/api/show", {})
    assert (answer.status, "'model'" in answer.json["error"]) == (400, True)


def test_the_version_is_one_that_clients_take(talking: Server) -> None:
    version = ask(talking, "GET", "/api/version").json["version"]
    assert [int(part) for part in version.split(".")] >= [0, 6, 4]


@pytest.mark.parametrize(
    "unload", [lambda client: client.generate("m", keep_alive=0),
               lambda client: client.chat("m", keep_alive=0),
               lambda client: client.generate("m", keep_alive="0s")]
)  # fmt: skip
def test_the_model_goes_and_comes(
    talking: Server, client: ollama.Client, unload: Callable[[ollama.Client], Any]
) -> None:
    (model,) = client.ps().models
    assert (model.model, model.context_length) == (NAME, 4096)
    assert model.expires_at is not None
    done = unload(client)
    assert (done.done, done.done_reason) == (True, "unload")
    assert client.ps().models == []
    assert client.generate("m", keep_alive="5m").done_reason == "load"
    assert len(client.ps().models) == 1
    assert client.chat("m", [USER], keep_alive=0).message.content == "Hello, wörld 🎉!"
    assert len(client.ps().models) == 1


def test_who_leaves_when_idle_is_said(serve: Serve, connect_ollama: Client) -> None:
    server = serve(HELLO, config=Config(date=DATE, idle_unload=30))
    (model,) = connect_ollama(server).ps().models
    assert model.expires_at is not None
    assert time.time() < model.expires_at.timestamp() <= time.time() + 30 * 60


def test_what_is_not_there_says_what_is(talking: Server, client: ollama.Client) -> None:
    for method, path, status in [
        ("POST", "/api/pull", 404),
        ("POST", "/api/embed", 404),
        ("DELETE", "/api/delete", 404),
        ("GET", "/api/nonsense", 404),
        ("GET", "/api/chat", 405),
        ("POST", "/api/tags", 405),
    ]:
        answer = ask(talking, method, path)
        assert answer.status == status, path
        assert set(answer.json) == {"error"}
        assert ("/api/chat" in answer.json["error"]) or status == 405
    with pytest.raises(ollama.ResponseError, match="/api/pull"):
        client.pull("gpt-oss:20b")
    with pytest.raises(ollama.ResponseError, match="/api/chat"):
        client.generate("m", "Hello!")
    assert ask(talking, "HEAD", "/").status == 200
    assert ask(talking, "HEAD", "/api/tags").status == 200
    assert ask(talking, "POST", "/api/chat", b"{").json["error"]
    unlike = ask(talking, "POST", "/api/chat", b"{}", {"content-type": "text/plain"})
    assert (unlike.status, set(unlike.json)) == (415, {"error"})


def test_a_key_comes_as_ollamas_clients_send_it(
    serve: Serve, tmp_path: Path, connect_ollama: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(HELLO, folder=tmp_path)
    token = create_key(tmp_path, "laptop", time.time())
    with pytest.raises(ollama.ResponseError, match="API key") as caught:
        connect_ollama(server).list()
    assert caught.value.status_code == 401
    monkeypatch.setenv("OLLAMA_API_KEY", token)
    assert connect_ollama(server).chat("m", [USER]).done


def test_other_pages_and_hosts_are_kept_out(talking: Server) -> None:
    for headers in ({"origin": "https://evil.example"}, {"host": "evil.example"}):
        answer = ask(talking, "GET", "/api/tags", headers=headers)
        assert (answer.status, set(answer.json)) == (403, {"error"})


def test_its_turns_are_told_of_as_others(talking: Server, client: ollama.Client) -> None:
    client.chat("m", [USER])
    ask_chat(talking)
    until(lambda: len(ask(talking, "GET", "/mlxoss/requests").json["data"]) == 2)
    told = ask(talking, "GET", "/mlxoss/requests").json["data"]
    assert {each["endpoint"] for each in told} == {
        "POST /api/chat",
        "POST /v1/chat/completions",
    }
