"""Answers that go round in circles end; others do not, however long."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from mlxoss.config import Config
from mlxoss.core import GenerationRequest
from mlxoss.harmony.encoding import Encoding
from mlxoss.harmony.grammar.compiler import GrammarCompiler
from mlxoss.turns.choice import CHECK_TOKENS, is_looping
from tests.support.fakes import ScriptedBackend
from tests.support.server.harness import DATE, Server
from tests.support.server.scripts import to_ids
from tests.support.waiting import until

Serve = Callable[..., Server]

SPAN = 256
CONFIG = Config(date=DATE, loop_guard=SPAN)
USER: Any = [{"role": "user", "content": "Hello"}]
TOOL: Any = {"type": "function", "function": {"name": "f"}}


def test_a_loop_is_a_passage_said_eight_times() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201
    rng = random.Random(seed)
    for period in (1, 2, 31, 32, 33, 64, 128):
        passage = [rng.randrange(10**6) for _ in range(period)]
        start = [rng.randrange(10**6) for _ in range(rng.randrange(CHECK_TOKENS))]
        text = start + passage * (1000 // period)
        text = text[: len(text) // CHECK_TOKENS * CHECK_TOKENS]
        assert is_looping(text, SPAN) == (period <= SPAN // 8)
        assert not is_looping(text, 0)
        assert not is_looping(text[:-1], SPAN)
        for at in (1, SPAN // 2, SPAN):
            assert not is_looping([*text[:-at], -1, *text[len(text) - at + 1 :]], SPAN)


def endless(encoding: Encoding, header: str) -> ScriptedBackend:
    def script(request: GenerationRequest) -> list[int]:
        return to_ids(encoding, header) + to_ids(encoding, " and so on") * 1000

    return ScriptedBackend(script)


@pytest.mark.parametrize("channel", ["analysis", "final"])
def test_an_endless_answer_ends_as_too_long(
    serve: Serve, encoding: Encoding, caplog: pytest.LogCaptureFixture, channel: str
) -> None:
    backend = endless(encoding, f"<|channel|>{channel}<|message|>")
    client = serve(backend, config=CONFIG).client()
    answer = client.chat.completions.create(model="m", messages=USER)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens <= SPAN + CHECK_TOKENS
    assert "repeat" in caplog.text
    until(lambda: backend.active == 0)
    response = client.responses.create(model="m", input="Hello")
    assert response.status == "incomplete"
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"


def test_a_stream_of_it_ends_properly(serve: Serve, encoding: Encoding) -> None:
    client = serve(endless(encoding, "<|channel|>final<|message|>"), config=CONFIG).client()
    stream = client.chat.completions.create(model="m", messages=USER, stream=True)
    assert [c.choices[0].finish_reason for c in stream if c.choices][-1] == "length"


@pytest.mark.parametrize("loop_guard", [0, 2048])
def test_off_or_with_a_longer_span_it_goes_on(
    serve: Serve, encoding: Encoding, loop_guard: int
) -> None:
    config = Config(date=DATE, loop_guard=loop_guard)
    client = serve(endless(encoding, "<|channel|>final<|message|>"), config=config).client()
    answer = client.chat.completions.create(model="m", messages=USER, max_tokens=1000)
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 1000


def test_data_may_repeat(serve: Serve, encoding: Encoding, guards: GrammarCompiler) -> None:
    zeros = json.dumps([0] * 600)
    call = f"<|channel|>commentary to=functions.f <|constrain|>json<|message|>{zeros}<|call|>"
    ids = to_ids(encoding, call)
    client = serve(ScriptedBackend(lambda request: ids), config=CONFIG).client()
    answer = client.chat.completions.create(model="m", messages=USER, tools=[TOOL])
    assert answer.choices[0].finish_reason == "tool_calls"
    final = to_ids(encoding, f"<|channel|>final <|constrain|>json<|message|>{zeros}<|return|>")
    backend = ScriptedBackend(lambda request: final)
    client = serve(backend, config=CONFIG, guards=guards).client()
    answer = client.chat.completions.create(
        model="m", messages=USER, response_format={"type": "json_object"}
    )
    assert answer.choices[0].finish_reason == "stop"
    assert answer.choices[0].message.content == zeros
