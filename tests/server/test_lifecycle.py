"""Loading, waiting, leaving, failing and stopping."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import openai
import pytest

from mlxoss.config import Config
from mlxoss.core import ModelInfo
from mlxoss.engine.backend import Backend
from mlxoss.harmony.encoding import Encoding
from tests.fakes import ScriptedBackend
from tests.server.conftest import Serve
from tests.server.harness import (
    DATE,
    ask,
    ask_chat,
    chat_body,
    eventually,
    running,
    send_chat,
    sse_payloads,
)
from tests.server.scripts import HELLO, always, final

USER: Any = [{"role": "user", "content": "Hello!"}]
Errors = Callable[[], list[str]]


def endless(encoding: Encoding, **options: Any) -> ScriptedBackend:
    """A backend whose turns go on until their token limit, 2 ms a token."""
    ids = [*always(encoding, "<|channel|>final<|message|>")(...), *[1000] * 4000]  # type: ignore[arg-type]
    return ScriptedBackend(lambda request: ids, step_s=0.002, **options)


@contextmanager
def set_at_last(event: threading.Event) -> Iterator[None]:
    """Whatever happens, let those go on who wait for ``event``."""
    try:
        yield
    finally:
        event.set()


def test_health_of_an_idle_server(serve: Serve) -> None:
    server = serve(HELLO)
    ask_chat(server)
    health = ask(server, "GET", "/health")
    assert health.status == 200
    assert health.json["status"] == "ok"
    assert health.json["model"] == "tiny/gpt-oss"
    assert health.json["version"]
    for key in ("active_requests", "queued_requests", "refused_requests", "oldest_wait_s"):
        assert health.json[key] == 0
    assert health.json["uptime_s"] > 0
    assert health.json["decode_tokens_per_s"] > 0
    assert health.json["harmony_recoveries"] == {}


def test_health_counts_recoveries_by_kind(serve: Serve) -> None:
    server = serve("<|channel|>final hello<|return|>")
    ask_chat(server)
    ask_chat(server, stream=True)
    assert ask(server, "GET", "/health").json["harmony_recoveries"] == {"missing_message": 2}


def test_requests_wait_while_the_model_loads(encoding: Encoding) -> None:
    loaded = threading.Event()

    def load() -> Backend:
        loaded.wait(30)
        return ScriptedBackend(always(encoding, HELLO))

    with (
        running(load, lambda: encoding) as server,
        ThreadPoolExecutor() as pool,
        set_at_last(loaded),
    ):
        waiting = [pool.submit(ask_chat, server, stream=streamed) for streamed in (False, True)]
        eventually(lambda: server.services.engine.status().waiting == 2)
        health = ask(server, "GET", "/health")
        assert health.status == 200
        assert health.json["status"] == "loading"
        assert health.json["queued_requests"] == 2
        assert health.json["oldest_wait_s"] > 0
        assert ask(server, "GET", "/v1/models").status == 200
        assert ask_chat(server, temperature=9).status == 400
        loaded.set()
        assert [answer.result().status for answer in waiting] == [200, 200]
        assert ask(server, "GET", "/health").json["status"] == "ok"


def test_requests_wait_while_the_encoding_loads(encoding: Encoding) -> None:
    loaded = threading.Event()

    def load_encoding() -> Encoding:
        loaded.wait(30)
        return encoding

    backend = ScriptedBackend(always(encoding, HELLO))
    with (
        running(lambda: backend, load_encoding) as server,
        ThreadPoolExecutor() as pool,
        set_at_last(loaded),
    ):
        waiting = pool.submit(ask_chat, server)
        eventually(lambda: server.services.turns_in_progress == 1)
        assert ask(server, "GET", "/health").json["status"] == "loading"
        loaded.set()
        assert waiting.result().status == 200
        assert ask(server, "GET", "/health").json["status"] == "ok"


@pytest.mark.parametrize("broken", ["model", "encoding"])
def test_a_failed_load(encoding: Encoding, broken: str, logged_errors: Errors) -> None:
    go = threading.Event()

    def load(part: str, value: Any) -> Any:
        if part == broken:
            go.wait(30)
            raise OSError("the disk is gone")
        return value

    backend = ScriptedBackend(always(encoding, HELLO))
    with (
        running(lambda: load("model", backend), lambda: load("encoding", encoding)) as server,
        ThreadPoolExecutor() as pool,
        set_at_last(go),
    ):
        waiting = [pool.submit(ask_chat, server, stream=streamed) for streamed in (False, True)]
        eventually(lambda: server.services.turns_in_progress == 2)
        go.set()
        for answer in [*(w.result() for w in waiting), ask_chat(server)]:
            assert answer.status == 503
            assert answer.error["type"] == "service_unavailable_error"
            assert "the disk is gone" in answer.error["message"]
        health = ask(server, "GET", "/health")
        assert (health.status, health.json["status"]) == (503, "failed")
        assert health.json["error"] == "the disk is gone"
        with pytest.raises(openai.InternalServerError) as caught:
            server.client().chat.completions.create(model="x", messages=USER)
        assert caught.value.status_code == 503
    assert logged_errors()


def test_a_full_queue(encoding: Encoding, serve: Serve) -> None:
    gate = threading.Event()
    backend = ScriptedBackend(always(encoding, HELLO), gate=gate)
    gate.clear()
    server = serve(backend, config=Config(date=DATE, max_batch=4, max_queue=16))
    with ThreadPoolExecutor(80) as pool, set_at_last(gate):
        answers = [pool.submit(ask_chat, server, stream=i % 2 == 0) for i in range(80)]
        eventually(lambda: sum(answer.done() for answer in answers) == 60)
        health = ask(server, "GET", "/health").json
        assert health["active_requests"] + health["queued_requests"] == 20
        assert health["refused_requests"] == 60
        with pytest.raises(openai.RateLimitError) as caught:
            server.client().chat.completions.create(model="x", messages=USER)
        assert caught.value.code == "rate_limit_exceeded"
        gate.set()
        statuses = Counter(answer.result().status for answer in answers)
    assert statuses == {200: 20, 429: 60}
    for answer in answers:
        if answer.result().status == 429:
            assert answer.result().error["type"] == "rate_limit_error"
            assert int(answer.result().headers["retry-after"]) >= 1
    assert server.services.engine.status().active == 0


def test_choices_are_admitted_together_or_not_at_all(encoding: Encoding, serve: Serve) -> None:
    backend = endless(encoding)
    server = serve(backend, config=Config(date=DATE, max_batch=4, max_queue=0))
    with server.connect() as connection:
        send_chat(connection, max_tokens=3000)
        eventually(lambda: server.services.engine.status().active == 1)
        assert ask_chat(server, n=4, max_tokens=5).status == 429
        assert ask_chat(server, n=3, max_tokens=5).status == 200
        eventually(lambda: server.services.engine.status().active == 1)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("choices", [1, 3])
@pytest.mark.parametrize("prompt_bytes", [10, 100_000])
def test_a_client_that_leaves_frees_its_slot(
    encoding: Encoding, serve: Serve, streamed: bool, choices: int, prompt_bytes: int
) -> None:
    backend = endless(encoding)
    server = serve(backend, model=ModelInfo("m", 60_000, 1))
    with server.connect() as connection:
        send_chat(
            connection,
            stream=streamed,
            n=choices,
            messages=[{"role": "user", "content": "word " * (prompt_bytes // 5)}],
        )
        eventually(lambda: backend.active == choices)
        if streamed:
            assert connection.recv(12) == b"HTTP/1.1 200"
    eventually(lambda: backend.active == 0, within_s=2)
    eventually(lambda: server.services.turns_in_progress == 0)
    assert server.services.engine.status().active == 0
    assert ask_chat(server, max_tokens=5).status == 200


def test_a_client_that_leaves_the_queue(encoding: Encoding, serve: Serve) -> None:
    backend = endless(encoding)
    server = serve(backend, config=Config(date=DATE, max_batch=1, max_queue=4))
    with server.connect() as running_one:
        send_chat(running_one, stream=True)
        eventually(lambda: backend.active == 1)
        for streamed in (False, True):
            with server.connect() as waiting_one:
                send_chat(waiting_one, stream=streamed)
                eventually(lambda: server.services.engine.status().waiting == 1)
            eventually(lambda: server.services.engine.status().waiting == 0)
    eventually(lambda: backend.active == 0)


def test_a_client_that_leaves_while_the_encoding_loads(encoding: Encoding) -> None:
    loaded = threading.Event()

    def load_encoding() -> Encoding:
        loaded.wait(30)
        return encoding

    backend = ScriptedBackend(always(encoding, HELLO))
    with running(lambda: backend, load_encoding) as server, set_at_last(loaded):
        with server.connect() as connection:
            send_chat(connection)
            eventually(lambda: server.services.turns_in_progress == 1)
        eventually(lambda: server.services.turns_in_progress == 0)
        loaded.set()
        assert ask_chat(server).status == 200


def test_heartbeats_fill_silence(encoding: Encoding, serve: Serve) -> None:
    gate = threading.Event()
    backend = ScriptedBackend(always(encoding, HELLO), gate=gate)
    gate.clear()
    server = serve(backend, heartbeat_s=0.05)
    with server.connect() as connection, set_at_last(gate):
        send_chat(connection, stream=True)
        received = b""
        while received.count(b": still working\n\n") < 3:
            received += connection.recv(4096)
        assert b"data:" not in received
        gate.set()
        while b"[DONE]" not in received:
            received += connection.recv(4096)
        while not received.endswith(b"0\r\n\r\n"):
            received += connection.recv(4096)


def test_the_client_skips_heartbeats(encoding: Encoding, serve: Serve) -> None:
    backend = ScriptedBackend(always(encoding, HELLO), step_s=0.03)
    server = serve(backend, heartbeat_s=0.01)
    chunks = server.client().chat.completions.create(model="x", messages=USER, stream=True)
    text = "".join(c.choices[0].delta.content or "" for c in chunks)
    assert text == "Hello, wörld 🎉!"


def test_a_failure_before_the_first_token(
    encoding: Encoding, serve: Serve, logged_errors: Errors
) -> None:
    backend = ScriptedBackend(always(encoding, HELLO))
    server = serve(backend)
    for streamed in (False, True):
        backend.step_errors.append(RuntimeError("secret detail"))
        answer = ask_chat(server, stream=streamed)
        assert answer.status == 500
        assert answer.error["type"] == "server_error"
    assert ask_chat(server).status == 200
    assert logged_errors()


def test_a_failure_in_the_middle(encoding: Encoding, serve: Serve, logged_errors: Errors) -> None:
    backend = ScriptedBackend(always(encoding, HELLO))
    backend.token_errors[(200_006, 12)] = RuntimeError("secret detail")
    server = serve(backend)
    answer = ask_chat(server, stream=True)
    assert answer.status == 200
    *chunks, last = sse_payloads(answer.body)
    assert chunks
    error = json.loads(last)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "server_error"
    assert b"event: error\n" in answer.body
    assert b"[DONE]" not in answer.body
    with pytest.raises(openai.APIError, match=error["message"]):
        for _ in server.client().chat.completions.create(model="x", messages=USER, stream=True):
            pass
    assert ask_chat(server).status == 500
    assert ask_chat(server, n=3).status == 500
    eventually(lambda: server.services.engine.status().active == 0)
    assert logged_errors() is not None


def test_stopping_waits_for_running_turns(encoding: Encoding) -> None:
    backend = endless(encoding)
    with ThreadPoolExecutor() as pool:
        with running(lambda: backend, lambda: encoding, drain_s=20) as server:
            answers = [
                pool.submit(ask_chat, server, stream=streamed, max_tokens=100)
                for streamed in (False, True)
            ]
            eventually(lambda: backend.active == 2)
        assert [answer.result().status for answer in answers] == [200, 200]
        assert b"[DONE]" in answers[1].result().body
    assert backend.closed


def test_stopping_fails_turns_that_take_too_long(encoding: Encoding) -> None:
    backend = endless(encoding)
    with ThreadPoolExecutor() as pool:
        with running(lambda: backend, lambda: encoding, drain_s=0.1) as server:
            answers = [pool.submit(ask_chat, server, stream=streamed) for streamed in (False, True)]
            eventually(lambda: backend.active == 2)
            time.sleep(0.05)
        whole, streamed = (answer.result() for answer in answers)
    assert whole.status == 503
    assert streamed.status == 200
    error = json.loads(sse_payloads(streamed.body)[-1])["error"]
    assert error["type"] == "service_unavailable_error"


def test_a_connection_kept_alive_is_refused_while_stopping(encoding: Encoding) -> None:
    backend = endless(encoding)
    with ThreadPoolExecutor() as pool:
        with running(lambda: backend, lambda: encoding, drain_s=20) as server:
            client = server.client()
            client.models.list()
            answer = pool.submit(ask_chat, server, max_tokens=200)
            eventually(lambda: backend.active == 1)
            server.services.is_stopping = True
            assert ask(server, "GET", "/health").json["status"] == "stopping"
            with pytest.raises(openai.InternalServerError) as caught:
                client.chat.completions.create(model="x", messages=USER)
            assert caught.value.status_code == 503
        assert answer.result().status == 200


def test_one_line_is_logged_per_turn(
    encoding: Encoding, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve(final("secret answer"))
    ask_chat(server, messages=[{"role": "user", "content": "secret question"}])
    ask_chat(server, temperature=9)
    eventually(lambda: len(turn_lines(caplog)) == 2)
    good, bad = turn_lines(caplog)
    assert " POST /v1/chat/completions 200 in=" in good
    assert "out=6 " in good
    assert "ttft=" in good
    assert "tok/s" in good
    assert " 400 " in bad
    assert "temperature" in bad
    assert "secret" not in caplog.text


def turn_lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == "mlxoss.server.request_log"]


def test_raw_previews_are_logged_only_when_asked(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    ask_chat(serve(HELLO))
    assert "They greet me" not in caplog.text
    ask_chat(serve(HELLO, config=Config(date=DATE, debug_raw_preview_chars=30)))
    eventually(lambda: "<|channel|>analysis<|message|>" in caplog.text)
    assert "They greet me" not in caplog.text


def test_a_body_in_pieces(serve: Serve) -> None:
    body = chat_body()
    with serve(HELLO).connect() as connection:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n"
        for byte in head.encode() + body:
            connection.sendall(bytes([byte]))
        assert connection.recv(12) == b"HTTP/1.1 200"


@pytest.mark.parametrize("is_on", [False, True])
def test_a_line_per_http_request_when_asked(
    serve: Serve, caplog: pytest.LogCaptureFixture, is_on: bool
) -> None:
    server = serve(HELLO, config=Config(date=DATE, http_access_log=is_on))
    ask(server, "GET", "/health")
    ask_chat(server, stream=True)
    lines = [
        (record.__dict__["request"], record.__dict__["status"])
        for record in caplog.records
        if record.name == "sanic.access"
    ]
    health = (f"GET {server.url}/health", 200)
    chat = (f"POST {server.url}/v1/chat/completions", 200)
    assert lines == ([health, chat] if is_on else [])
