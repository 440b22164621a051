"""Clients that do not read: what waits for them is bounded, and so is the time."""

from __future__ import annotations

import json
import os
import socket
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from mlxoss.config import Config
from mlxoss.core import ModelInfo
from mlxoss.engine.generation import MOST_UNREAD
from mlxoss.tls import make_client_context
from tests.server.conftest import Serve
from tests.support.certificates import make_pair
from tests.support.fakes import ScriptedBackend
from tests.support.server.harness import (
    DATE,
    Server,
    ask_chat,
    send_chat,
    set_at_last,
    sse_payloads,
)
from tests.support.waiting import until

BEGUN = [200_005, 17_196, 200_008]  # <|channel|>final<|message|>
LONG = Config(date=DATE, loop_guard=0)
MODEL = ModelInfo("m", 1 << 20, 1)
BOUND_BYTES = 128 * 1024
"""64 KiB and the write that went over."""


def scripted(tokens: int, **options: Any) -> ScriptedBackend:
    return ScriptedBackend(lambda request: [*BEGUN, *[1000] * tokens], **options)


def slow(server: Server) -> socket.socket:
    """A connection whose client has room for some 5 KiB."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2304)
    connection.settimeout(120)
    connection.connect(("127.0.0.1", server.port))
    return connection


def send_response(connection: socket.socket) -> None:
    """Ask for a streamed response without reading it."""
    body = json.dumps({"model": "x", "input": "Hello!", "stream": True})
    head = f"POST /v1/responses HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall((head + body).encode())


def open_socket(server: Server, stack: ExitStack) -> ClientConnection:
    """A WebSocket whose client takes a frame or two and then reads no more."""
    url = f"ws://127.0.0.1:{server.port}/v1/responses"
    options: dict[str, Any] = {"max_queue": 1, "ping_interval": None, "close_timeout": 0.1}
    opened: ClientConnection = connect(url, sock=slow(server), **options)
    return stack.enter_context(opened)


def ask_all(server: Server, stack: ExitStack) -> None:
    """A chat, a response and a WebSocket, none of which is read."""
    send_chat(stack.enter_context(slow(server)), stream=True)
    send_response(stack.enter_context(slow(server)))
    frame = {"type": "response.create", "model": "x", "input": "Hello!"}
    open_socket(server, stack).send(json.dumps(frame))


def read_stream(connection: socket.socket) -> bytes:
    """All events of a streamed answer, at last."""
    received = bytearray()
    while not received.endswith(b"0\r\n\r\n"):
        received += connection.recv(1 << 20)
    return b"".join(received.partition(b"\r\n\r\n")[2].split(b"\r\n")[1::2])


def stuck(server: Server) -> list[int]:
    """What waits for each client that does not read, in bytes of the server's memory."""
    connections = [each for each in list(server.app.ctx.connections) if each.is_stuck]
    return [each.transport.get_write_buffer_size() for each in connections]


def test_what_waits_is_bounded(serve: Serve) -> None:
    backend = scripted(30_000)
    server = serve(backend, model=MODEL, config=LONG)
    with ExitStack() as stack:
        ask_all(server, stack)
        until(lambda: len(backend.inserted) == 3 and backend.active == 0)
        until(lambda: len(stuck(server)) == 3)
        assert server.services.turns.in_progress == 3
        assert ask_chat(server, max_tokens=5).status == 200
        assert max(stuck(server)) < BOUND_BYTES
    until(lambda: server.services.turns.in_progress == 0)


def test_what_waits_is_bounded_under_tls_too(serve: Serve, tmp_path: Path) -> None:
    pair = make_pair(tmp_path / "tls")
    config = replace(LONG, tls_cert=pair.certificate, tls_key=pair.key)
    backend = scripted(30_000)
    server = serve(backend, model=MODEL, config=config)
    with make_client_context(pair.certificate).wrap_socket(slow(server)) as connection:
        send_chat(connection, stream=True)
        until(lambda: len(backend.inserted) == 1 and backend.active == 0)
        until(lambda: len(stuck(server)) == 1)
        assert max(stuck(server)) < BOUND_BYTES
    until(lambda: server.services.turns.in_progress == 0)


def test_who_reads_nothing_is_cut_off_and_others_are_not(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    backend = scripted(1_000_000, step_s=0.0001)
    server = serve(backend, model=MODEL, config=LONG)
    server.app.config.SEND_TIMEOUT = 1
    with ExitStack() as stack:
        ask_all(server, stack)
        until(lambda: len(backend.inserted) == 3)
        answer = ask_chat(server, stream=True, max_tokens=2000)
        assert sse_payloads(answer.body)[-1] == b"[DONE]"
        until(lambda: server.services.turns.in_progress == 0)
        until(lambda: backend.active == 0)
    assert caplog.text.count("a client is cut off") == 3


def test_so_many_tokens_are_kept_for_one_who_reads_late(serve: Serve) -> None:
    backend = scripted(20_000)
    server = serve(backend, model=MODEL, config=LONG)
    kept = MOST_UNREAD // 21
    with slow(server) as connection:
        send_chat(connection, stream=True, logprobs=True, top_logprobs=20)
        until(lambda: len(backend.inserted) == 1 and backend.active == 0)
        assert server.services.turns.in_progress == 1
        body = read_stream(connection)
    *_, last = sse_payloads(body)
    assert json.loads(last)["error"]["code"] == "client_too_slow"
    assert kept <= body.count(b'"content":') < 20_000
    until(lambda: server.services.turns.in_progress == 0)
    assert ask_chat(server, max_tokens=5).status == 200


def flood(connection: socket.socket, frame: bytes) -> bool:
    """Whether the server stops reading before 64 MiB of ``frame``."""
    connection.settimeout(0.5)
    try:
        for _ in range((64 << 20) // (1000 * len(frame))):
            connection.sendall(1000 * frame)
    except (TimeoutError, ConnectionError):
        return True
    return False


def test_the_time_of_a_request_ends_for_one_who_reads_late_too(serve: Serve) -> None:
    backend = scripted(20_000)
    server = serve(backend, model=MODEL, config=replace(LONG, request_timeout=3))
    with slow(server) as connection:
        send_chat(connection, stream=True)
        until(lambda: len(backend.inserted) == 1 and backend.active == 0)
        backend.gate.clear()
        with set_at_last(backend.gate):
            assert ask_chat(server).status == 504  # begun later, over now
        body = read_stream(connection)
    assert json.loads(sse_payloads(body)[-1])["error"]["code"] == "request_timeout"
    until(lambda: server.services.turns.in_progress == 0)


def test_pings_that_nobody_wants_answered_are_not_read(serve: Serve) -> None:
    server = serve(scripted(10))
    server.app.config.SEND_TIMEOUT = 1
    with ExitStack() as stack:
        connection = slow(server)
        stack.enter_context(connection)
        connection.sendall(
            b"GET /v1/responses HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
            b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert connection.recv(12) == b"HTTP/1.1 101"
        assert flood(connection, bytes([0x89, 0x80 | 125]) + bytes(4) + os.urandom(125))
        assert max(stuck(server), default=0) < BOUND_BYTES
        until(lambda: not server.app.ctx.connections)
    assert ask_chat(server, max_tokens=5).status == 200


def test_a_socket_that_reads_late_gets_everything(serve: Serve) -> None:
    backend = scripted(30_000)
    server = serve(backend, model=MODEL, config=LONG)
    with ExitStack() as stack:
        opened = open_socket(server, stack)
        for most, wanted in [(100_000, 30_000), (10, 7)]:
            frame = {"type": "response.create", "model": "x", "input": "Hello!"}
            opened.send(json.dumps(frame | {"max_output_tokens": most}))
            if most > wanted * 2:
                until(lambda: bool(stuck(server)))
                opened.ping()
            deltas = 0
            while (event := json.loads(opened.recv(timeout=120)))["type"] != "response.incomplete":
                deltas += event["type"] == "response.output_text.delta"
            assert deltas == wanted
