"""Clients that leave: their places are free at once."""

from __future__ import annotations

import threading

import pytest

from mlxoss.config import Config
from mlxoss.core import ModelInfo
from mlxoss.harmony.encoding import Encoding
from tests.server.conftest import Serve
from tests.support.fakes import ScriptedBackend
from tests.support.server.harness import DATE, ask_chat, running, send_chat, set_at_last
from tests.support.server.scripts import HELLO, always, endless
from tests.support.waiting import until


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
        until(lambda: backend.active == choices)
        if streamed:
            assert connection.recv(12) == b"HTTP/1.1 200"
    until(lambda: backend.active == 0)
    assert len(backend.removed) == choices
    until(lambda: server.services.turns.in_progress == 0)
    assert server.services.engine.status().active == 0
    assert ask_chat(server, max_tokens=5).status == 200


def test_a_client_that_leaves_the_queue(encoding: Encoding, serve: Serve) -> None:
    backend = endless(encoding)
    server = serve(backend, config=Config(date=DATE, max_batch=1, max_queue=4))
    with server.connect() as running_one:
        send_chat(running_one, stream=True)
        until(lambda: backend.active == 1)
        for streamed in (False, True):
            with server.connect() as waiting_one:
                send_chat(waiting_one, stream=streamed)
                until(lambda: server.services.engine.status().waiting == 1)
            until(lambda: server.services.engine.status().waiting == 0)
    until(lambda: backend.active == 0)


def test_a_client_that_leaves_while_the_encoding_loads(encoding: Encoding) -> None:
    loaded = threading.Event()

    def load_encoding() -> Encoding:
        loaded.wait(120)
        return encoding

    backend = ScriptedBackend(always(encoding, HELLO))
    with running(lambda: backend, load_encoding) as server, set_at_last(loaded):
        with server.connect() as connection:
            send_chat(connection)
            until(lambda: server.services.turns.in_progress == 1)
        until(lambda: server.services.turns.in_progress == 0)
        loaded.set()
        assert ask_chat(server).status == 200
