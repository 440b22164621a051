"""Clients that give up before the prefill ends and ask again, as Codex does: real sockets."""

from __future__ import annotations

import json
import signal
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mlxoss.engine.backend import Backend
from mlxoss.engine.checkpoint.loader import load_folder
from mlxoss.engine.mlx.batch import MlxBackend
from mlxoss.engine.prefix_cache.cache import MOVING_TOKENS, PrefixCache
from mlxoss.engine.status import EngineState
from mlxoss.harmony.encoding import Encoding
from tests.support.checkpoints import TinyModel, write_checkpoint
from tests.support.cli.daemon import Daemon, start_daemon
from tests.support.engine.harness import WatchedModel
from tests.support.http import Listening, ask
from tests.support.server.harness import Server, running, set_at_last
from tests.support.waiting import HANG_S, until

MOST_COST = 1.3
"""In prefills: what all tries together may compute."""

ANSWER_TOKENS = 16
CHUNK = 256

TEXT = "harbour boat rope " * 800
MESSAGES = [{"role": "user", "content": TEXT}]
PATHS: dict[str, dict[str, Any]] = {
    "/v1/responses": {"input": TEXT, "max_output_tokens": ANSWER_TOKENS},
    "/v1/chat/completions": {"messages": MESSAGES, "max_tokens": ANSWER_TOKENS},
    "/v1/messages": {"messages": MESSAGES, "max_tokens": ANSWER_TOKENS},
    "/v1/completions": {"prompt": TEXT, "max_tokens": ANSWER_TOKENS},
}


@dataclass
class SlowModel:
    """Counts what the model computes, which stands still where ``most`` tokens would be passed."""

    computed: int = 0
    most: int = 0
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def before(self, rows: int, tokens: int) -> None:
        """The model is about to compute."""
        with self._changed:
            self._changed.wait_for(lambda: self.computed + rows * tokens <= self.most, HANG_S)
            self.computed += rows * tokens

    def allow(self, most: int) -> None:
        """Let it go on to ``most`` tokens, of all calls together."""
        with self._changed:
            self.most = most
            self._changed.notify_all()

    def set(self) -> None:
        """Let it go on."""
        self.allow(1 << 60)


@pytest.fixture
def slow() -> SlowModel:
    return SlowModel()


@pytest.fixture
def server(
    tmp_path_factory: pytest.TempPathFactory, encoding: Encoding, slow: SlowModel
) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("model")
    write_checkpoint(folder, TinyModel(hidden=16))

    def load() -> Backend:
        model = WatchedModel(load_folder(folder), slow.before)
        return MlxBackend(model, prefixes=PrefixCache(1 << 28), prefill_step_tokens=CHUNK)

    with running(load, lambda: encoding) as server, set_at_last(slow):  # type: ignore[arg-type]
        until(lambda: server.services.engine.status().state is EngineState.OK)
        slow.computed = 0
        yield server


def post(connection: socket.socket, path: str, body: dict[str, Any]) -> None:
    content = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(content)}\r\n\r\n"
    )
    connection.sendall(head.encode() + content)


def count(server: Listening | int, path: str, body: dict[str, Any]) -> tuple[int, int]:
    """Ask; the tokens of the prompt, and those of them that needed no computing."""
    assert ask(server, "POST", path, body).status == 200
    latest = ask(server, "GET", "/mlxoss/requests").json["data"][0]
    return latest["prompt_tokens"], latest["cached_tokens"]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("path", PATHS)
def test_the_fourth_try_of_a_client_with_a_third_of_the_time(
    server: Server, slow: SlowModel, path: str, streamed: bool
) -> None:
    engine = server.services.engine
    body = {"model": "m", "stream": streamed} | PATHS[path]
    third = len(TEXT.split()) // 3
    for number in range(1, 4):
        with server.connect() as connection:
            post(connection, path, body)
            # The client's clock: what a third of the prompt takes.
            slow.allow(number * third)
            until(lambda wanted=number * third - CHUNK: slow.computed > wanted)  # type: ignore[misc]
        slow.allow(slow.computed + CHUNK)  # it left amid a chunk
        until(lambda: engine.status().active == 0)
    slow.set()
    prompt_tokens, cached_tokens = count(server, path, body)
    assert cached_tokens > (3 * third - 4 * CHUNK)
    assert slow.computed - ANSWER_TOKENS < MOST_COST * prompt_tokens


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_next_try_comes_after_a_restart(tmp_path: Path, number: signal.Signals) -> None:
    """Stopped after the client left; or killed while it waits."""
    body = {"model": "m", "input": "harbour boat rope " * 2000, "max_output_tokens": 16}
    model = str(write_checkpoint(tmp_path / "model", TinyModel(hidden=16)))
    kept = tmp_path / "mlxoss" / "cache" / "prefixes"
    with start_daemon(tmp_path, "--model", model) as daemon:
        daemon.wait_until_loaded()
        with socket.create_connection(("127.0.0.1", port_of(daemon)), HANG_S) as connection:
            post(connection, "/v1/responses", body)
            daemon.wait_until(lambda: list(kept.glob("*.safetensors")))
            if number == signal.SIGKILL:
                daemon.stop(number)
        if number == signal.SIGTERM:
            assert daemon.stop(number) == 0
    with start_daemon(tmp_path, "--model", model) as daemon:
        daemon.wait_until_loaded()
        prompt_tokens, cached_tokens = count(port_of(daemon), "/v1/responses", body)
    assert MOVING_TOKENS <= cached_tokens < prompt_tokens


def port_of(daemon: Daemon) -> int:
    assert daemon.url is not None
    return int(daemon.url.rpartition(":")[2])
