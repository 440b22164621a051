"""Loading, waiting, leaving, failing and stopping."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest

from mlxoss.config import Config
from mlxoss.harmony.encoding import Encoding
from tests.server.conftest import Serve
from tests.support.fakes import ScriptedBackend
from tests.support.http import ask
from tests.support.server.harness import (
    DATE,
    ask_chat,
    chat_body,
    running,
    send_chat,
    set_at_last,
    sse_payloads,
)
from tests.support.server.scripts import HELLO, always, endless
from tests.support.waiting import until

USER: Any = [{"role": "user", "content": "Hello!"}]
Errors = Callable[[], list[str]]


def test_a_full_queue(encoding: Encoding, serve: Serve) -> None:
    gate = threading.Event()
    backend = ScriptedBackend(always(encoding, HELLO), gate=gate)
    gate.clear()
    server = serve(backend, config=Config(date=DATE, max_batch=4, max_queue=16))
    with ThreadPoolExecutor(80) as pool, set_at_last(gate):
        answers = [pool.submit(ask_chat, server, stream=i % 2 == 0) for i in range(80)]
        until(lambda: sum(answer.done() for answer in answers) == 60)
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
        until(lambda: server.services.engine.status().active == 1)
        assert ask_chat(server, n=4, max_tokens=5).status == 429
        assert ask_chat(server, n=3, max_tokens=5).status == 200
        until(lambda: server.services.engine.status().active == 1)


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
    until(lambda: server.services.engine.status().active == 0)
    assert logged_errors() is not None


def test_stopping_waits_for_running_turns(encoding: Encoding) -> None:
    backend = endless(encoding)
    with ThreadPoolExecutor() as pool:
        with running(lambda: backend, lambda: encoding, drain_s=120) as server:
            answers = [
                pool.submit(ask_chat, server, stream=streamed, max_tokens=100)
                for streamed in (False, True)
            ]
            until(lambda: backend.active == 2)
        assert [answer.result().status for answer in answers] == [200, 200]
        assert b"[DONE]" in answers[1].result().body
    assert backend.closed


def test_stopping_fails_turns_that_take_too_long(encoding: Encoding) -> None:
    backend = endless(encoding)
    with ThreadPoolExecutor() as pool:
        with running(lambda: backend, lambda: encoding, drain_s=0.1) as server:
            answers = [pool.submit(ask_chat, server, stream=streamed) for streamed in (False, True)]
            until(lambda: backend.active == 2)
            time.sleep(0.05)
        whole, streamed = (answer.result() for answer in answers)
    assert whole.status == 503
    assert streamed.status == 200
    error = json.loads(sse_payloads(streamed.body)[-1])["error"]
    assert error["type"] == "service_unavailable_error"


def test_a_connection_kept_alive_is_refused_while_stopping(encoding: Encoding) -> None:
    backend = endless(encoding)
    with ThreadPoolExecutor() as pool:
        with running(lambda: backend, lambda: encoding, drain_s=120) as server:
            client = server.client()
            client.models.list()
            answer = pool.submit(ask_chat, server, max_tokens=200)
            until(lambda: backend.active == 1)
            server.services.turns.is_stopping = True
            assert ask(server, "GET", "/health").json["status"] == "stopping"
            with pytest.raises(openai.InternalServerError) as caught:
                client.chat.completions.create(model="x", messages=USER)
            assert caught.value.status_code == 503
        assert answer.result().status == 200


def test_a_body_in_pieces(serve: Serve) -> None:
    body = chat_body()
    with serve(HELLO).connect() as connection:
        head = (
            "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        for byte in head.encode() + body:
            connection.sendall(bytes([byte]))
        assert connection.recv(12) == b"HTTP/1.1 200"
