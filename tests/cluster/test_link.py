"""Links measured over real sockets, and who may measure."""

from __future__ import annotations

import socket
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from queue import Queue

import pytest

from mlxoss.cluster.link import listen, measure
from tests.support.service.box import free_port

SECRET = "0123456789abcdef"


def test_a_link_is_measured_by_who_knows_the_secret() -> None:
    ports: Queue[int] = Queue()
    with ThreadPoolExecutor(1) as pool:
        received: Future[int] = pool.submit(listen, "127.0.0.1", SECRET, ports.put)
        port = ports.get(timeout=120)
        for said in (b"", b"p" * 100, b"GET / HTTP/1.1\r\n\r\n", SECRET[:-1].encode() + b"x\n"):
            with socket.create_connection(("127.0.0.1", port), timeout=120) as stranger:
                stranger.sendall(said)
                with suppress(OSError):  # it has been turned away already
                    stranger.shutdown(socket.SHUT_WR)
                assert _read(stranger) == b""
        link = measure("127.0.0.1", port, SECRET)
        assert received.result(120) > 0
    assert 0 < link.round_trip_s < 1
    assert link.bytes_per_s > 1e6
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=120)


def _read(stranger: socket.socket) -> bytes:
    try:
        return stranger.recv(1)
    except ConnectionResetError:  # what it said was not read to the end
        return b""


def test_what_cannot_be_measured_is_an_error() -> None:
    with pytest.raises(OSError, match="assign"):
        listen("192.0.2.1", SECRET, lambda port: None)
    with pytest.raises(ConnectionRefusedError):
        measure("127.0.0.1", free_port(), SECRET)
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as pool:
        measuring = pool.submit(measure, "127.0.0.1", server.getsockname()[1], SECRET)
        server.accept()[0].close()
        with pytest.raises(ConnectionError):
            measuring.result(120)
