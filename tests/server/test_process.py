"""A server as a process: signals, exit codes, the address taken."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.server.harness import chat_body

pytestmark = pytest.mark.slow


@contextmanager
def process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A server process that is gone when the block ends."""
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.support.server.process", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with child:
        try:
            yield child
        finally:
            child.kill()


@contextmanager
def started_stream(child: subprocess.Popen[str], max_tokens: int) -> Iterator[socket.socket]:
    """A connection whose stream has begun."""
    assert child.stdout is not None
    port = int(child.stdout.readline())
    body = chat_body(stream=True, max_tokens=max_tokens)
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=120) as connection:
        connection.sendall(head.encode() + body)
        received = b""
        while b'"content":"' not in received:
            received += connection.recv(1)
        yield connection


def read_to_end(connection: socket.socket) -> bytes:
    received = b""
    while part := connection.recv(65536):
        received += part
    return received


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_running_turns_finish(number: signal.Signals) -> None:
    with process("0.005", "120") as child, started_stream(child, 150) as connection:
        child.send_signal(number)
        received = read_to_end(connection)
        assert b"[DONE]" in received
        assert b'"finish_reason":"length"' in received
        assert child.wait(120) == 0
        assert child.stderr is not None
        assert "Traceback" not in child.stderr.read()


def test_turns_that_take_too_long_end_with_an_error_event() -> None:
    with process("0.005", "0.2") as child, started_stream(child, 50_000) as connection:
        child.send_signal(signal.SIGTERM)
        received = read_to_end(connection)
        assert b"[DONE]" not in received
        event = received.split(b"event: error\ndata: ")[1].split(b"\n\n")[0]
        assert json.loads(event)["error"]["type"] == "service_unavailable_error"
        assert child.wait(120) == 0


def test_a_second_signal_ends_the_process_at_once() -> None:
    with process("0.005", "120") as child, started_stream(child, 50_000) as connection:
        child.send_signal(signal.SIGTERM)
        assert child.stderr is not None
        for line in child.stderr:
            if "stopping" in line:
                break
        child.send_signal(signal.SIGTERM)
        assert child.wait(120) == 128 + signal.SIGTERM
        read_to_end(connection)


def test_no_new_connection_while_stopping() -> None:
    with process("0.005", "120") as child, started_stream(child, 50_000) as connection:
        port = connection.getpeername()[1]
        child.send_signal(signal.SIGTERM)
        assert child.stderr is not None
        for line in child.stderr:
            if "stopping" in line:
                break
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=120)


def test_an_engine_that_cannot_go_on_ends_the_process() -> None:
    with process("0", "120", "broken") as child:
        assert child.stdout is not None
        port = int(child.stdout.readline())
        body = chat_body()
        head = (
            "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", port), timeout=120) as connection:
            connection.sendall(head.encode() + body)
            assert connection.recv(12) in (b"HTTP/1.1 500", b"HTTP/1.1 503")
        assert child.wait(120) == 1


def test_an_address_that_is_taken() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with process("0", "120", str(port)) as child:
            assert child.wait(120) == 1
            assert child.stderr is not None
            assert f"cannot listen on 127.0.0.1:{port}" in child.stderr.read()
