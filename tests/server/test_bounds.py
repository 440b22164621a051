"""Bounds on connections, heads and bodies, each with its answer."""

from __future__ import annotations

import json
import socket
from contextlib import ExitStack

import pytest

from mlxoss.api.json_body import MAX_DEPTH
from mlxoss.config import Config
from mlxoss.server.http.file_limits import raise_file_limit
from tests.server.conftest import Serve
from tests.support.fakes import ScriptedBackend
from tests.support.http import ask
from tests.support.server.harness import Server, chat_body, post, send_chat
from tests.support.server.scripts import HELLO
from tests.support.waiting import until

CROWD = 1000
HEALTH = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"


def is_closed(connection: socket.socket) -> bool:
    """Whether the server has closed it; waits for that."""
    while part := connection.recv(65536):
        assert part
    return True


def test_the_longest_idle_connection_makes_room(serve: Serve) -> None:
    server = serve(HELLO, config=Config(max_connections=3))
    with ExitStack() as stack:
        opened = []
        for _ in range(3):
            connection = stack.enter_context(server.connect())
            connection.sendall(HEALTH)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
            opened.append(connection)
        for closed in opened:
            assert ask(server, "GET", "/health").status == 200
            assert is_closed(closed)
            refill = stack.enter_context(server.connect())
            refill.sendall(HEALTH)
            assert refill.recv(65536).startswith(b"HTTP/1.1 200")


def test_where_all_are_busy_a_new_one_is_told(serve: Serve) -> None:
    backend = ScriptedBackend(
        lambda request: [200_005, 17_196, 200_008, *[1000] * 3000], step_s=0.01
    )
    server = serve(backend, config=Config(max_connections=2))
    with server.connect() as first, server.connect() as second:
        for connection in (first, second):
            send_chat(connection, stream=True, max_tokens=3000)
        until(lambda: backend.active == 2)
        with server.connect() as third:
            received = b""
            while part := third.recv(65536):
                received += part
        head, _, body = received.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 ")
        assert json.loads(body)["error"]["code"] == "too_many_connections"
        assert first.recv(12) == b"HTTP/1.1 200"
    until(lambda: ask_is(server, 200))


def ask_is(server: Server, status: int) -> bool:
    try:
        return ask(server, "GET", "/health").status == status
    except ConnectionError:
        return False


def test_health_in_a_crowd(serve: Serve) -> None:
    """A thousand connections that say nothing, others that never finish what they say."""
    server = serve(HELLO)
    raise_file_limit(2 * CROWD)
    body = chat_body()
    head = f"POST /v1/responses HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    with ExitStack() as stack:
        for number in range(CROWD):
            connection = stack.enter_context(server.connect())
            if number % 20 == 0:
                connection.sendall(HEALTH[: 10 + number % 30])
            elif number % 20 == 1:
                connection.sendall(head.encode() + body[: number % 50])
        assert [ask(server, "GET", "/health").status for _ in range(300)] == [200] * 300
        assert post(server, body).status == 200
    until(lambda: ask(server, "GET", "/health").json["active_requests"] == 0)
    until(lambda: server.services.turns.in_progress == 0)


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_the_depth_of_json(serve: Serve, opening: str) -> None:
    server = serve(HELLO)
    closing = "]" if opening == "[" else "}"
    for depth, word in [(MAX_DEPTH - 2, None), (MAX_DEPTH, "128 levels"), (100_000, "128 levels")]:
        nested = opening * depth + "1" + closing * depth
        answer = post(server, b'{"model": "m", "zzz": ' + nested.encode() + b"}")
        assert answer.status == 400
        assert answer.error["code"] == ("invalid_json" if word else answer.error["code"])
        assert (word or "messages") in answer.error["message"] + str(answer.error["param"])


def test_a_head_that_trickles_in_is_given_up(serve: Serve) -> None:
    server = serve(HELLO)
    server.app.config.REQUEST_TIMEOUT = 1  # its own would be half a minute
    with server.connect() as connection:
        connection.settimeout(0.05)
        received = _trickle(connection, HEALTH.replace(b"\r\n\r\n", b"\r\nx: " + b"a" * 600))
    assert received.startswith(b"HTTP/1.1 408")
    assert json.loads(received.partition(b"\r\n\r\n")[2])["error"]["code"] == "request_timeout"


def _trickle(connection: socket.socket, head: bytes) -> bytes:
    """Send a byte at a time until the server answers."""
    received = b""
    for byte in head:
        try:
            connection.sendall(bytes([byte]))
            part = connection.recv(65536)
        except TimeoutError:
            continue
        except ConnectionError:
            break
        if not part:
            break
        received += part
    return received


def read_all(connection: socket.socket) -> bytes:
    """What comes until the server closes the connection."""
    received = b""
    while part := connection.recv(65536):
        received += part
    return received


@pytest.mark.parametrize(
    "line",
    [
        "POST /v1/chat/completions",
        "POST /v1/responses/resp_1/cancel",
        "GET /health",
        "DELETE /v1/responses/resp_1",
        "GET /no/such/path",
    ],
)
@pytest.mark.parametrize("framing", ["Content-Length: 1000", "Transfer-Encoding: chunked"])
def test_a_body_that_does_not_come_is_given_up(serve: Serve, line: str, framing: str) -> None:
    server = serve(HELLO)
    server.app.config.BODY_TIMEOUT = 0.5  # its own would be two minutes
    with server.connect() as connection:
        head = f"{line} HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n"
        connection.sendall(head.encode() + b"5\r\n{")
        received = read_all(connection)
    status, body = received[9:12], received.partition(b"\r\n\r\n")[2]
    assert (status, json.loads(body)["error"]["code"]) in [
        (b"408", "request_timeout"),
        (b"404", "unknown_url"),
    ]


def test_a_body_that_trickles_in_after_its_answer_is_given_up(serve: Serve) -> None:
    server = serve(HELLO)
    server.app.config.BODY_TIMEOUT = 0.5
    with server.connect() as connection:
        head = "POST /v1/responses HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 99999\r\n\r\n"
        connection.sendall(head.encode())
        connection.settimeout(0.05)
        received = _trickle(connection, b"x" * 200)
        assert received.startswith(b"HTTP/1.1 403")
        connection.settimeout(120)
        until(lambda: not server.app.ctx.connections)


def test_a_long_body_in_time_is_taken_whole(serve: Serve) -> None:
    server = serve(HELLO)
    body = chat_body(messages=[{"role": "user", "content": "word " * 300_000}])
    with server.connect() as connection:
        head = (
            "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        connection.sendall(head.encode() + body)
        assert b"context_length_exceeded" in read_all(connection)


def test_an_idle_connection_is_closed(serve: Serve) -> None:
    server = serve(HELLO)
    server.app.config.KEEP_ALIVE_TIMEOUT = 0.5
    with server.connect() as fresh, server.connect() as used:
        used.sendall(HEALTH)
        assert used.recv(65536).startswith(b"HTTP/1.1 200")
        assert is_closed(used)
        assert is_closed(fresh)


def test_half_a_connection_is_none(serve: Serve) -> None:
    """Who closes its side has left: a stream to it would have no end that it could notice."""
    backend = ScriptedBackend(lambda request: [200_005, 17_196, 200_008, *[1000] * 3000])
    backend.step_s = 0.005
    server = serve(backend)
    with server.connect() as connection:
        send_chat(connection, stream=True, max_tokens=3000)
        assert connection.recv(12) == b"HTTP/1.1 200"
        connection.shutdown(socket.SHUT_WR)
        assert b"[DONE]" not in read_all(connection)
    until(lambda: server.services.turns.in_progress == 0)
    until(lambda: backend.active == 0)
    assert ask(server, "GET", "/health").json["active_requests"] == 0


def test_pipelined_requests_are_answered_in_order(serve: Serve) -> None:
    server = serve(HELLO)
    with server.connect() as connection:
        for _ in range(3):
            connection.sendall(HEALTH)
            send_chat(connection, max_tokens=5)
        connection.sendall(HEALTH.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        received = read_all(connection)
    kinds = [b"uptime_s" in part for part in received.split(b"HTTP/1.1 200 OK")[1:]]
    assert kinds == [True, False] * 3 + [True]
