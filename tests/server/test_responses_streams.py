"""Responses while they run: silence, clients that leave, events replayed, a server that stops."""

from __future__ import annotations

import json
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from mlxoss.harmony.encoding import Encoding
from mlxoss.server.routes.responses.responses import ResponseRoutes
from tests.server.conftest import Serve
from tests.server.test_process import process, read_to_end
from tests.support.api.strict import check_event, check_response
from tests.support.fakes import ScriptedBackend
from tests.support.http import ask
from tests.support.server.harness import Server, kept_responses, running, set_at_last
from tests.support.server.scripts import always, endless, final
from tests.support.waiting import until

JSON = {"content-type": "application/json"}
LONG = final("word " * 100)


def body(**fields: Any) -> bytes:
    return json.dumps({"model": "any", "input": "Hello!"} | fields).encode()


def create(server: Server, **fields: Any) -> dict[str, Any]:
    answer = ask(server, "POST", "/v1/responses", body(**fields), JSON)
    assert answer.status == 200, answer.body
    created: dict[str, Any] = answer.json
    return created


def send(connection: socket.socket, **fields: Any) -> None:
    content = body(**fields)
    head = (
        "POST /v1/responses HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    connection.sendall(head.encode() + content)


def get(connection: socket.socket, path: str) -> None:
    connection.sendall(
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
    )


def read_until(connection: socket.socket, words: bytes) -> bytes:
    received = b""
    while words not in received:
        part = connection.recv(4096)
        assert part, received
        received += part
    return received


def events_in(received: bytes) -> list[dict[str, Any]]:
    """The events of what came over the wire, whole ones only."""
    lines = received.replace(b"\r\n", b"\n").split(b"\n")
    datas = [line.removeprefix(b"data: ") for line in lines if line.startswith(b"data: {")]
    events: list[dict[str, Any]] = [json.loads(data) for data in datas]
    for event in events:
        check_event(event)
    return events


@contextmanager
def websocket(port: int) -> Iterator[ClientConnection]:
    with connect(f"ws://127.0.0.1:{port}/v1/responses") as connection:
        yield connection


def ask_frame(connection: ClientConnection, **fields: Any) -> None:
    frame = {"type": "response.create", "model": "any", "input": "Hello!"} | fields
    connection.send(json.dumps(frame))


def read_to_close(connection: ClientConnection) -> tuple[str, int]:
    """The type of the last event, and the code with which the server closes."""
    last = ""
    try:
        while True:
            last = str(connection.recv(timeout=120))
    except ConnectionClosed as closed:
        return json.loads(last)["type"], closed.rcvd.code if closed.rcvd else 1006


@pytest.mark.parametrize("streamed", [False, True])
def test_a_client_that_leaves_frees_its_slot(
    encoding: Encoding, serve: Serve, streamed: bool
) -> None:
    backend = endless(encoding)
    server = serve(backend)
    with server.connect() as connection:
        send(connection, stream=streamed)
        until(lambda: backend.active == 1)
        if streamed:
            read_until(connection, b"output_text.delta")
    until(lambda: backend.active == 0)
    until(lambda: server.services.turns.in_progress == 0)
    assert kept_responses(server) == 0


@pytest.mark.parametrize("silent", [False, True])
def test_a_websocket_that_is_left_frees_its_slot(
    encoding: Encoding, serve: Serve, silent: bool
) -> None:
    gate = threading.Event()
    backend = endless(encoding, gate=gate)
    gate.clear()
    server = serve(backend)
    with set_at_last(gate):
        with websocket(server.port) as connection:
            ask_frame(connection)
            if not silent:
                gate.set()
                while "output_text.delta" not in str(connection.recv(timeout=120)):
                    pass
            until(lambda: server.services.turns.in_progress == 1)
        until(lambda: server.services.turns.in_progress == 0)
        gate.set()
        until(lambda: backend.active == 0)


def test_a_background_response_goes_on_without_its_client(encoding: Encoding, serve: Serve) -> None:
    backend = ScriptedBackend(always(encoding, LONG), step_s=0.005)
    server = serve(backend)
    with server.connect() as connection:
        send(connection, stream=True, background=True)
        received = read_until(connection, b"output_text.delta")
    response_id = events_in(received[: received.rindex(b"\n\n")])[0]["response"]["id"]
    path = f"/v1/responses/{response_id}"
    with server.connect() as follower:
        get(follower, f"{path}?stream=true&starting_after=3")
        events = events_in(read_to_end(follower))
    assert backend.active == 0
    assert [event["sequence_number"] for event in events] == list(range(4, 4 + len(events)))
    assert events[-1]["type"] == "response.completed"
    assert ask(server, "GET", path).json == events[-1]["response"]


def test_followers_of_what_was_cancelled_or_deleted_are_let_go(
    encoding: Encoding, serve: Serve
) -> None:
    server = serve(endless(encoding))
    for method, suffix in (("POST", "/cancel"), ("DELETE", "")):
        path = f"/v1/responses/{create(server, background=True)['id']}"
        with server.connect() as follower:
            get(follower, f"{path}?stream=true")
            read_until(follower, b"output_text.delta")
            assert ask(server, method, path + suffix).status == 200
            assert b"data: [DONE]" in read_to_end(follower)
        assert ask(server, "GET", path).status == (200 if suffix else 404)
    (routes,) = [each for each in server.app.ctx.routes if isinstance(each, ResponseRoutes)]
    assert routes.background.ids == ()


@pytest.mark.parametrize(("drain_s", "status"), [(120.0, "completed"), (0.0, "failed")])
def test_stopping_ends_background_responses_and_keeps_their_end(
    encoding: Encoding, tmp_path: Path, drain_s: float, status: str
) -> None:
    backend = ScriptedBackend(always(encoding, LONG), step_s=0.01)
    with running(lambda: backend, lambda: encoding, folder=tmp_path, drain_s=drain_s) as server:
        path = f"/v1/responses/{create(server, background=True)['id']}"
        until(lambda: backend.active == 1)
    with running(lambda: backend, lambda: encoding, folder=tmp_path) as server:
        kept = ask(server, "GET", path).json
        check_response(kept)
        assert kept["status"] == status
        events = events_in(ask(server, "GET", f"{path}?stream=true").body)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert events[-1]["response"] == kept
    if status == "failed":
        assert kept["error"]["code"] == "server_error"


@pytest.mark.slow
def test_a_signal_lets_a_websocket_finish_and_says_goodbye() -> None:
    with process("0.005", "120") as child:
        assert child.stdout is not None
        with websocket(int(child.stdout.readline())) as connection:
            ask_frame(connection, max_output_tokens=150)
            while "output_text.delta" not in str(connection.recv(timeout=120)):
                pass
            child.send_signal(signal.SIGTERM)
            assert read_to_close(connection) == ("response.incomplete", 1001)
        assert child.wait(120) == 0
        assert child.stderr is not None
        assert "Traceback" not in child.stderr.read()


@pytest.mark.slow
def test_a_websocket_that_takes_too_long_is_told() -> None:
    with process("0.005", "0.2") as child:
        assert child.stdout is not None
        with websocket(int(child.stdout.readline())) as connection:
            ask_frame(connection, max_output_tokens=50_000)
            while "output_text.delta" not in str(connection.recv(timeout=120)):
                pass
            child.send_signal(signal.SIGTERM)
            assert read_to_close(connection) == ("response.failed", 1001)
        assert child.wait(120) == 0
