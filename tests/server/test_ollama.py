"""Ollama's chats, as its official client asks and reads."""

from __future__ import annotations

import json
from typing import Any

import ollama
import openai
import pytest
from pydantic import BaseModel

from mlxoss.config import Config
from mlxoss.harmony.encoding import Encoding
from tests.server.conftest import Serve
from tests.support.fakes import ScriptedBackend
from tests.support.http import ask
from tests.support.server.harness import DATE, Server
from tests.support.server.ollama import (
    NAME,
    TOOL,
    USER,
    chat,
    ollama_client,
    prompt,
    refusal,
)
from tests.support.server.scripts import HELLO, always, endless
from tests.support.waiting import HANG_S

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="


class Place(BaseModel):
    city: str
    degrees: int


@pytest.fixture
def client(talking: Server) -> ollama.Client:
    return ollama_client(talking)


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
    think: Any,
    line: str,
    is_shown: bool,
) -> None:
    message = ollama_client(talking).chat("m", [USER], think=think).message
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
        *(({"format": wrong}, "Invalid 'format': ") for wrong in ("xml", 5)),
        *(({"keep_alive": wrong}, "Invalid 'keep_alive': ") for wrong in ("m", "5", "soon", True)),
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


def test_what_breaks_a_stream_is_its_last_line(serve: Serve, encoding: Encoding) -> None:
    server = serve(endless(encoding), config=Config(date=DATE, request_timeout=1))
    lines = ollama_client(server).chat("m", [USER], stream=True)
    assert not next(iter(lines)).done
    with pytest.raises(ollama.ResponseError, match="request_timeout"):
        list(lines)


def test_in_silence_the_client_hears_empty_messages(serve: Serve, encoding: Encoding) -> None:
    backend = ScriptedBackend(always(encoding, HELLO))
    backend.gate.clear()
    server = serve(backend, heartbeat_s=0.02)
    lines = []
    for line in ollama_client(server).chat("m", [USER], stream=True):
        lines.append(line)
        if len(lines) == 3:
            backend.gate.set()
    assert all(not line.message.content and not line.message.thinking for line in lines[:3])
    assert "".join(line.message.content or "" for line in lines) == "Hello, wörld 🎉!"
