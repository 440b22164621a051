"""The bound on how long an answer may take."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest

from mlxoss.config import Config
from tests.server.conftest import Serve
from tests.support.fakes import ScriptedBackend
from tests.support.server.harness import ask_chat, sse_payloads
from tests.support.waiting import until

USER: Any = {"role": "user", "content": "Hello!"}
ENDLESS = [200_005, 17_196, 200_008, *[1000] * 3000]  # <|channel|>final<|message|>
LIMITED = Config(request_timeout=3)


@pytest.fixture
def backend() -> ScriptedBackend:
    return ScriptedBackend(lambda request: ENDLESS, step_s=0.01)


@pytest.mark.parametrize("choices", [1, 2])
def test_an_answer_that_takes_too_long(
    serve: Serve, backend: ScriptedBackend, choices: int
) -> None:
    server = serve(backend, config=LIMITED)
    answer = ask_chat(server, n=choices, max_tokens=3000)
    assert answer.status == 504
    assert answer.error["code"] == "request_timeout"
    assert "request_timeout" in answer.error["message"]
    assert answer.headers["x-should-retry"] == "false"
    until(lambda: backend.active == 0)


def test_a_stream_that_takes_too_long(serve: Serve, backend: ScriptedBackend) -> None:
    server = serve(backend, config=LIMITED)
    payloads = sse_payloads(ask_chat(server, stream=True, max_tokens=3000).body)
    assert json.loads(payloads[-1])["error"]["code"] == "request_timeout"
    assert b"content" in payloads[1]
    events = list(
        server.client().responses.create(
            model="m", input="Hello!", stream=True, max_output_tokens=3000
        )
    )
    assert events[-1].type == "response.failed"
    assert events[-1].response.error is not None
    until(lambda: backend.active == 0)
    assert server.services.turns.in_progress == 0


def test_one_in_time_is_left_alone(serve: Serve, backend: ScriptedBackend) -> None:
    in_time = serve(backend, config=Config(request_timeout=300)).client()
    done = in_time.chat.completions.create(model="m", messages=[USER], max_tokens=5)
    assert done.choices[0].finish_reason == "length"
    client = serve(backend, config=LIMITED).client()
    with pytest.raises(openai.InternalServerError):
        client.with_options(max_retries=2).chat.completions.create(
            model="m", messages=[USER], max_tokens=3000
        )
