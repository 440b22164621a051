"""Nothing that a client was told of is lost when the process is killed at any moment."""

from __future__ import annotations

import http.client
import json
import random
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from mlxoss.server.state import DATABASE

KILLS = 5
CLIENTS = 4


@contextmanager
def daemon(folder: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The process and its port; killed at the end if it still runs."""
    command = [sys.executable, "-m", "tests.server.kept_process", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, int(process.stdout.readline())
        finally:
            process.kill()


def ask(port: int, method: str, path: str, body: Any = None) -> bytes:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        headers = {"content-type": "application/json"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        return connection.getresponse().read()


def last_response(body: bytes) -> dict[str, Any] | None:
    """The response of a stream's last event, if that arrived whole."""
    for block in body.split(b"\n\n")[:-1]:
        if block.startswith(b"event: response.completed\n"):
            event: dict[str, Any] = json.loads(block.split(b"\ndata: ", 1)[1])
            response: dict[str, Any] = event["response"]
            return response
    return None


class Client(threading.Thread):
    """Asks one response after the other until the server is gone; notes what it got whole."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.port = port
        self.whole: list[dict[str, Any]] = []
        self.background: list[str] = []
        self.was_answered = threading.Event()

    def run(self) -> None:
        try:
            while True:
                self._one()
                self.was_answered.set()
        except (OSError, http.client.HTTPException, ValueError):
            self.was_answered.set()

    def _one(self) -> None:
        body = {"model": "any", "input": "Hello!"}
        if len(self.whole) % 3 == 2:
            queued = json.loads(
                ask(self.port, "POST", "/v1/responses", {**body, "background": True})
            )
            self.background.append(queued["id"])
        last = last_response(ask(self.port, "POST", "/v1/responses", {**body, "stream": True}))
        if last is None:
            raise ConnectionError
        self.whole.append(last)


def test_killed_at_random_moments(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201
    chance = random.Random(seed)
    whole: list[dict[str, Any]] = []
    background: list[str] = []
    for _ in range(KILLS):
        with daemon(tmp_path) as (process, port):
            clients = [Client(port) for _ in range(CLIENTS)]
            for client in clients:
                client.start()
            assert clients[0].was_answered.wait(60)
            time.sleep(chance.uniform(0, 0.3))
            process.kill()
            for client in clients:
                client.join(60)
                whole += client.whole
                background += client.background
        with closing(sqlite3.connect(tmp_path / DATABASE)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert whole
    with daemon(tmp_path) as (_, port):
        for response in whole:
            assert json.loads(ask(port, "GET", f"/v1/responses/{response['id']}")) == response
        for response_id in background:
            kept = json.loads(ask(port, "GET", f"/v1/responses/{response_id}"))
            assert kept["status"] in ("completed", "failed")
            events = ask(port, "GET", f"/v1/responses/{response_id}?stream=true")
            ending = f"event: response.{kept['status']}\n".encode()
            assert events.count(ending) == 1
            assert events.endswith(b"data: [DONE]\n\n")
