"""A slow reader: the server waits for it instead of filling memory, and others go on."""

from __future__ import annotations

import socket

from mlxoss.config import Config
from mlxoss.core import ModelInfo
from mlxoss.harmony.encoding import Encoding
from tests.server.conftest import Serve
from tests.support.fakes import ScriptedBackend
from tests.support.server.harness import DATE, ask_chat, send_chat, sse_payloads
from tests.support.server.scripts import always
from tests.support.waiting import until

UNGUARDED = Config(date=DATE, loop_guard=0)
"""These answers say the same over and over, and are to be as long as they are."""


def test_a_client_that_reads_slowly_gets_everything(serve: Serve, encoding: Encoding) -> None:
    tokens = 30_000
    ids = [*always(encoding, "<|channel|>final<|message|>")(...), *[1000] * tokens]  # type: ignore[arg-type]
    backend = ScriptedBackend(lambda request: ids)
    server = serve(backend, model=ModelInfo("m", 50_000, 1), config=UNGUARDED)
    with server.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 17)
        send_chat(connection, stream=True)
        until(lambda: len(backend.inserted) == 1 and backend.active == 0)
        assert server.services.turns.in_progress == 1
        assert ask_chat(server, max_tokens=5).status == 200
        received = bytearray()
        while not received.endswith(b"0\r\n\r\n"):
            received += connection.recv(1 << 20)
    body = b"".join(received.partition(b"\r\n\r\n")[2].split(b"\r\n")[1::2])
    payloads = sse_payloads(body)
    assert payloads[-1] == b"[DONE]"
    assert sum(b'"content":' in payload for payload in payloads) == tokens + 1


def test_a_client_that_never_reads_is_noticed_when_it_leaves(
    serve: Serve, encoding: Encoding
) -> None:
    ids = [*always(encoding, "<|channel|>final<|message|>")(...), *[1000] * 30_000]  # type: ignore[arg-type]
    backend = ScriptedBackend(lambda request: ids)
    server = serve(backend, model=ModelInfo("m", 50_000, 1), config=UNGUARDED)
    with server.connect() as connection:
        send_chat(connection, stream=True)
        until(lambda: len(backend.inserted) == 1 and backend.active == 0)
        assert server.services.turns.in_progress == 1
    until(lambda: server.services.turns.in_progress == 0)
