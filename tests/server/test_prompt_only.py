"""``generate: false`` and ``prewarm``: the prompt is computed, and nothing is said."""

from __future__ import annotations

import json
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from mlxoss.harmony.encoding import Encoding
from tests.server.conftest import Serve
from tests.server.test_responses import post, prompts, refused, stream
from tests.server.test_responses_websocket import turn
from tests.support.api.strict import check_response
from tests.support.fakes import ScriptedBackend
from tests.support.http import ask
from tests.support.server.scripts import HELLO, always
from tests.support.waiting import until

SAID: dict[str, Any] = {"instructions": "Be brief.", "input": [{"role": "user", "content": "Hi"}]}


@pytest.fixture
def backend(encoding: Encoding) -> ScriptedBackend:
    return ScriptedBackend(always(encoding, HELLO), cached_tokens=3)


@pytest.mark.parametrize("how", [{"generate": False}, {"prompt_cache_options": {"prewarm": True}}])
def test_it_answers_with_the_prompt_s_usage(
    backend: ScriptedBackend, serve: Serve, how: dict[str, Any]
) -> None:
    server = serve(backend)
    response = check_response(post(server, **SAID, **how))
    assert (response.status, response.output) == ("completed", [])
    assert response.usage is not None
    assert response.usage.input_tokens == len(prompts(backend)[0])
    assert response.usage.input_tokens_details.cached_tokens == 3
    assert (response.usage.output_tokens, backend.inserted[0].max_tokens) == (0, 1)
    spoken = post(server, **SAID)
    assert prompts(backend)[1] == prompts(backend)[0]
    assert spoken["output"]


def test_prewarming_goes_before_generating(backend: ScriptedBackend, serve: Serve) -> None:
    options: Any = {"prompt_cache_options": {"prewarm": True}}
    assert post(serve(backend), **SAID, generate=True, **options)["output"] == []


def test_what_was_computed_is_gone_on_from(backend: ScriptedBackend, serve: Serve) -> None:
    server = serve(backend)
    first = post(server, **SAID, generate=False)
    more: Any = {"input": [{"role": "user", "content": "More"}], "instructions": "Be brief."}
    post(server, **more, previous_response_id=first["id"])
    post(server, instructions="Be brief.", input=[*SAID["input"], *more["input"]])
    assert prompts(backend)[1] == prompts(backend)[2]
    kept = ask(server, "GET", f"/v1/responses/{first['id']}").json
    assert (kept["status"], kept["output"]) == ("completed", [])
    unkept = post(server, **SAID, generate=False, store=False)
    status, _ = refused(server, **more, previous_response_id=unkept["id"])
    assert status == 404


def test_a_stream_and_a_background_response_of_it(backend: ScriptedBackend, serve: Serve) -> None:
    server = serve(backend)
    kinds = [event["type"] for event in stream(server, **SAID, generate=False)]
    assert kinds == ["response.created", "response.in_progress", "response.completed"]
    queued = post(server, **SAID, generate=False, background=True)
    path = f"/v1/responses/{queued['id']}"
    until(lambda: ask(server, "GET", path).json["status"] == "completed")
    assert ask(server, "GET", path).json["output"] == []


def test_one_that_is_too_long_is_refused_all_the_same(
    backend: ScriptedBackend, serve: Serve
) -> None:
    status, error = refused(serve(backend), input="word " * 200_000, generate=False)
    assert (status, error["code"]) == (400, "context_length_exceeded")


def socket_to(port: int) -> ClientConnection:
    return connect(f"ws://127.0.0.1:{port}/v1/responses")


def test_as_codex_does_it(backend: ScriptedBackend, serve: Serve) -> None:
    """It warms with the whole first request, or with no input, and then sends what is new alone."""
    server = serve(backend)
    for warmed, rest in ((SAID["input"], []), ([], SAID["input"])):
        with socket_to(server.port) as socket:
            fields: Any = {"instructions": "Be brief.", "store": False, "tools": []}
            first = turn(socket, **fields, input=warmed, generate=False)["response"]
            assert (first["status"], first["output"]) == ("completed", [])
            second = turn(socket, **fields, input=rest, previous_response_id=first["id"])
            assert second["response"]["output"]
        post(server, **fields, input=SAID["input"])
        *_, went_on, whole = prompts(backend)
        assert went_on == whole


def test_frames_on_one_lane(backend: ScriptedBackend, serve: Serve) -> None:
    with socket_to(serve(backend).port) as socket:
        frame = {"type": "response.create", "model": "m", "generate": False, "stream_id": "a"}
        socket.send(json.dumps({**frame, **SAID}))
        events = [json.loads(socket.recv(timeout=120)) for _ in range(3)]
    assert {event["stream_id"] for event in events} == {"a"}
    assert events[-1]["type"] == "response.completed"
