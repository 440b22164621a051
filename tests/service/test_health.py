from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from mlxoss.addresses import reachable
from mlxoss.service.health import (
    Answered,
    Foreign,
    Health,
    Refused,
    Silent,
    probe,
)
from mlxoss.sockets import port_problem
from tests.support.service.box import free_port


@contextmanager
def answering(answer: bytes | None) -> Iterator[int]:
    """A server that gives each caller these bytes, or accepts and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                if answer is None:
                    connection.recv(1)
                else:
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join()


def http(body: bytes, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (http(b'{"status": "ok", "pid": 7}'), Answered),
        (http(b'{"status": "failed"}', "503 Service Unavailable"), Answered),
        (http(b'{"ok": true}'), Foreign),
        (http(b"[]"), Foreign),
        (http(b"<html>", "404 Not Found"), Foreign),
        (b"220 mail.example ESMTP\r\n", Foreign),
        (b"", Foreign),
        (None, Silent),
    ],
)
def test_what_an_answer_means(answer: bytes | None, kind: type[Health]) -> None:
    with answering(answer) as port:
        assert isinstance(probe("127.0.0.1", port, timeout_s=0.5), kind)


def test_what_is_read_from_an_answer() -> None:
    with answering(http(b'{"status": "loading", "pid": 7}')) as port:
        health = probe("0.0.0.0", port, timeout_s=0.5)
    assert isinstance(health, Answered)
    assert (health.status, health.pid) == ("loading", 7)


def test_nobody_there() -> None:
    assert isinstance(probe("127.0.0.1", free_port()), Refused)
    assert isinstance(probe("no.such.host.invalid", 80), Refused)


def test_a_wildcard_is_reached_on_the_loopback() -> None:
    assert [reachable(host) for host in ("0.0.0.0", "::", "10.0.0.1")] == [
        *("127.0.0.1", "::1", "10.0.0.1")
    ]


def test_a_port_is_tried_by_binding_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert port_problem("127.0.0.1", port) == f"port {port} on 127.0.0.1 is in use"
    assert port_problem("127.0.0.1", port) is None
    assert "cannot be bound" in (port_problem("192.0.2.1", port) or "")
