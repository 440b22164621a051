"""Responses that end while a tool runs: the call is gone, and so is all that the request held."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from mlxoss.api_key_file import create_key
from mlxoss.config import Config
from mlxoss.harmony.encoding import Encoding
from tests.server.conftest import Serve
from tests.server.test_hosted import Served, kinds
from tests.support.http import ask
from tests.support.server.harness import DATE, ask_chat, running
from tests.support.server.rounds import CODE, SEARCH, browse, python
from tests.support.server.scripts import HELLO, final
from tests.support.waiting import until

TOOLS = [CODE, SEARCH]


def hanging(serve: Serve, encoding: Encoding, *texts: str, **options: Any) -> Served:
    """A server whose cells do not end before their test lets them."""
    served = Served(serve, encoding, python("while True: pass"), *texts, **options)
    served.tools.python.calls.hangs = True
    return served


def runs(served: Served) -> bool:
    return served.tools.python.calls.running == 1


def check_gone(served: Served) -> None:
    """Nothing of the request is left: no call, no place, no turn."""
    calls = served.tools.python.calls
    until(lambda: not calls.running)
    assert calls.ended == 1
    turns = served.server.services.turns
    until(lambda: turns.in_progress == 0)
    status = turns.engine.status()
    assert (status.active, status.waiting) == (0, 0)
    config = turns.config
    with ExitStack() as stack:
        for _ in range(config.max_batch + config.max_queue):
            place = on_loop(served, turns.engine.hold)
            stack.callback(on_loop, served, place.give_back)


def on_loop(served: Served, act: Callable[[], Any]) -> Any:
    done: list[Any] = []
    event = threading.Event()

    def run() -> None:
        try:
            done.append(act())
        finally:
            event.set()

    served.server.loop.call_soon_threadsafe(run)
    assert event.wait(120)
    return done[0]


def send(served: Served, **fields: Any) -> Any:
    """Ask over a connection of one's own, without reading the answer."""
    body = json.dumps({"model": "any", "input": "Hi", "tools": TOOLS} | fields).encode()
    head = (
        "POST /v1/responses HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    connection = served.server.connect()
    connection.sendall(head.encode() + body)
    return connection


def test_a_cancel_ends_the_call(serve: Serve, encoding: Encoding) -> None:
    served = hanging(serve, encoding)
    response = served.ask(tools=TOOLS, background=True)
    until(lambda: runs(served))
    cancelled: Any = served.client.responses.cancel(response.id)
    assert cancelled.status == "cancelled"
    assert not served.tools.python.calls.running  # the answer comes once nothing is left of it
    assert kinds(cancelled) == ["reasoning", "code_interpreter_call"]
    assert cancelled.output[1].status == "incomplete"
    check_gone(served)


@pytest.mark.parametrize("streamed", [False, True])
def test_a_client_that_leaves_ends_the_call(
    serve: Serve, encoding: Encoding, streamed: bool
) -> None:
    served = hanging(serve, encoding)
    connection = send(served, stream=streamed)
    until(lambda: runs(served))
    connection.close()
    check_gone(served)
    (record,) = ask(served.server, "GET", "/mlxoss/requests").json["data"]
    assert record["status"] == 499
    assert record["completion_tokens"] > 0


@pytest.mark.parametrize("streamed", [False, True])
def test_the_time_is_that_of_the_tools_too(
    serve: Serve, encoding: Encoding, streamed: bool
) -> None:
    served = hanging(serve, encoding, config=Config(date=DATE, request_timeout=1))
    body = json.dumps({"model": "any", "input": "Hi", "tools": TOOLS, "stream": streamed})
    headers = {"content-type": "application/json"}
    answer = ask(served.server, "POST", "/v1/responses", body.encode(), headers)
    assert b"request_timeout" in answer.body
    assert answer.status == (200 if streamed else 504)
    check_gone(served)


def test_a_stop_of_the_server_ends_the_call(encoding: Encoding) -> None:
    with ExitStack() as stack:

        def serve(backend: Any, **options: Any) -> Any:
            return stack.enter_context(
                running(lambda: backend, lambda: encoding, drain_s=0.1, **options)
            )

        served = hanging(serve, encoding)
        connection = send(served, stream=True)
        stack.callback(connection.close)
        until(lambda: runs(served))
        stack.pop_all().close()
    assert served.tools.python.calls.ended == 1
    assert served.tools.python.is_closed
    assert not served.tools.browser.sessions


def test_a_stop_is_told(serve: Serve, encoding: Encoding) -> None:
    served = hanging(serve, encoding)
    events: list[Any] = []
    with served.ask(tools=TOOLS, stream=True) as stream:
        for event in stream:
            events.append(event)
            if event.type == "response.code_interpreter_call.interpreting":
                until(lambda: runs(served))
                on_loop(served, served.server.services.turns.tools.stop)  # type: ignore[union-attr]
    assert events[-1].type == "response.failed"
    assert "stopping" in events[-1].response.error.message
    check_gone(served)


def test_a_stream_has_heartbeats_while_a_tool_runs(serve: Serve, encoding: Encoding) -> None:
    served = hanging(serve, encoding, final("Done."), heartbeat_s=0.02)
    beats = 0
    with served.ask(tools=TOOLS, stream=True) as stream:
        for event in stream:
            if served.tools.python.calls.running and event.type == "response.in_progress":
                beats += 1
                (now,) = ask(served.server, "GET", "/mlxoss/requests").json["running"]
                assert now["tool"] == "python"
            if beats == 3:
                served.tools.python.calls.hangs = False
    assert event.type == "response.completed"
    assert event.response.output_text == "Done."


def test_others_decode_while_a_tool_runs_and_its_place_is_kept(
    serve: Serve, encoding: Encoding
) -> None:
    config = Config(date=DATE, max_batch=1, max_queue=1)
    served = hanging(serve, encoding, HELLO, final("Done."), config=config)
    connection = send(served)
    with connection:
        until(lambda: runs(served))
        assert ask_chat(served.server).status == 200
        place = on_loop(served, served.server.services.engine.hold)
        refused = ask_chat(served.server)
        assert refused.status == 429
        served.tools.python.calls.hangs = False
        received = b""
        while b"Done." not in received:
            received += connection.recv(65_536)
        on_loop(served, place.give_back)


def test_a_key_s_request_counts_while_its_tool_runs(
    serve: Serve, encoding: Encoding, tmp_path: Path
) -> None:
    key = create_key(tmp_path, "laptop", 0)
    config = Config(date=DATE, max_requests_per_key=1)
    served = hanging(serve, encoding, final("Done."), final("2"), config=config, folder=tmp_path)
    headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
    body = json.dumps({"model": "any", "input": "Hi", "tools": TOOLS}).encode()
    answers: list[int] = []

    def post() -> None:
        answers.append(ask(served.server, "POST", "/v1/responses", body, headers).status)

    thread = threading.Thread(target=post)
    thread.start()
    until(lambda: runs(served))
    post()
    served.tools.python.calls.hangs = False
    thread.join(120)
    post()
    assert answers == [429, 200, 200]


def test_a_model_unloaded_while_a_tool_runs_is_loaded_again(
    serve: Serve, encoding: Encoding
) -> None:
    served = hanging(serve, encoding, final("Done."))
    connection = send(served)
    with connection:
        until(lambda: runs(served))
        assert ask(served.server, "POST", "/mlxoss/unload", b"").status == 200
        served.tools.python.calls.hangs = False
        received = b""
        while b"Done." not in received:
            received += connection.recv(65_536)


def test_a_cancel_between_two_calls_ends_it(serve: Serve, encoding: Encoding) -> None:
    served = Served(serve, encoding, python("1"), browse("search", query="a"), final("Done."))
    served.backend.step_s = 0.01
    response = served.ask(tools=TOOLS, background=True)
    until(lambda: served.tools.python.calls.made)
    cancelled: Any = served.client.responses.cancel(response.id)
    assert cancelled.status == "cancelled"
    until(lambda: served.server.services.turns.in_progress == 0)
    status = served.server.services.engine.status()
    assert (status.active, status.waiting) == (0, 0)
