"""Nothing that a client was told of is lost when the process is killed, or the disk is full."""

from __future__ import annotations

import http.client
import json
import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import pytest

from mlxoss.server.state import DATABASE
from tests.api.strict import check_event, check_response
from tests.server.harness import eventually

KILLS = 50
CLIENTS = 4
Start = Callable[..., "Life"]


@dataclass
class Life:
    """One server process: its id, and its port once it listens."""

    pid: int
    take: Callable[[str], int]

    def port(self) -> int:
        return self.take(f"port {self.pid} ")

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        eventually(lambda: not is_there(self.pid))


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@dataclass
class Answers:
    """What the parent and its servers print, in whatever order."""

    stream: IO[str]
    others: list[str] = field(default_factory=list)

    def take(self, beginning: str) -> int:
        """The number that ends the line with this beginning; a killed server's stay unasked."""
        while not (found := [line for line in self.others if line.startswith(beginning)]):
            line = self.stream.readline()
            assert line, "the parent has ended"
            self.others.append(line)
        self.others.remove(found[0])
        return int(found[0].removeprefix(beginning))


@contextmanager
def nursery(folder: Path) -> Iterator[Start]:
    """Starts servers whose state is in ``folder``."""
    command = [sys.executable, "-m", "tests.server.kept_process", str(folder)]
    pipe = subprocess.PIPE
    lives: list[Life] = []
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        orders, answers = parent.stdin, Answers(parent.stdout)

        def start(*words: object) -> Life:
            orders.write(" ".join(map(str, ["start", *words])) + "\n")
            orders.flush()
            lives.append(Life(answers.take("pid "), answers.take))
            return lives[-1]

        try:
            yield start
        finally:
            for life in lives:
                if is_there(life.pid):
                    os.kill(life.pid, signal.SIGKILL)
            parent.kill()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with nursery(tmp_path) as starter:
        yield starter


def ask(port: int, method: str, path: str, body: Any = None) -> bytes:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        headers = {"content-type": "application/json"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        return connection.getresponse().read()


def create(port: int, **fields: Any) -> bytes:
    return ask(port, "POST", "/v1/responses", {"model": "any", "input": "Hello!"} | fields)


def events_in(body: bytes) -> list[dict[str, Any]]:
    """The events of a stream that arrived whole."""
    blocks = [block for block in body.split(b"\n\n")[:-1] if block.startswith(b"event: ")]
    return [json.loads(block.split(b"\ndata: ", 1)[1]) for block in blocks]


@dataclass
class Told:
    """What clients were told: responses whose last event arrived, background ids, deletions."""

    whole: dict[str, dict[str, Any]] = field(default_factory=dict)
    background: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)


class Client(threading.Thread):
    """Asks one response after the other until the server is gone."""

    def __init__(self, port: int, rng: random.Random) -> None:
        super().__init__()
        self.port = port
        self.rng = rng
        self.told = Told()

    def run(self) -> None:
        last: str | None = None
        try:
            while True:
                last = self.rng.choice((self.stream, self.fold, self.queue, self.forget))(last)
        except (OSError, http.client.HTTPException, ValueError, LookupError):
            return

    def stream(self, previous: str | None) -> str:
        events = events_in(create(self.port, stream=True, previous_response_id=previous))
        if events[-1]["type"] != "response.completed":
            raise ConnectionError
        return self.note(events[-1]["response"])

    def fold(self, previous: str | None) -> str:
        return self.note(json.loads(create(self.port, previous_response_id=previous)))

    def queue(self, previous: str | None) -> str | None:
        queued = json.loads(create(self.port, background=True, previous_response_id=previous))
        self.told.background.add(queued["id"])
        return previous

    def forget(self, previous: str | None) -> None:
        """Delete one of a chain's own, so that nothing else goes on from it."""
        response_id = self.note(json.loads(create(self.port)))
        del self.told.whole[response_id]
        if json.loads(ask(self.port, "DELETE", f"/v1/responses/{response_id}"))["deleted"]:
            self.told.deleted.add(response_id)

    def note(self, response: dict[str, Any]) -> str:
        response_id: str = response["id"]
        self.told.whole[response_id] = response
        return response_id


def assert_kept(port: int, told: Told) -> None:
    """All that was told is so."""
    for response_id, response in told.whole.items():
        assert json.loads(ask(port, "GET", f"/v1/responses/{response_id}")) == response
    for response_id in told.deleted:
        answer = json.loads(ask(port, "GET", f"/v1/responses/{response_id}"))
        assert answer["error"]["code"] == "response_not_found"
    for response_id in told.background:
        kept = json.loads(ask(port, "GET", f"/v1/responses/{response_id}"))
        check_response(kept)
        assert kept["status"] in ("completed", "failed")
        body = ask(port, "GET", f"/v1/responses/{response_id}?stream=true")
        events = events_in(body)
        for event in events:
            check_event(event)
        assert [event["sequence_number"] for event in events] == list(range(len(events)))
        assert events[-1]["response"] == kept
        assert body.endswith(b"data: [DONE]\n\n")


def live_and_die(life: Life, rng: random.Random) -> list[Told]:
    """Load the server and kill it: while it starts, or at some moment under load."""
    if rng.random() < 0.1:
        time.sleep(rng.uniform(0, 0.1))
        life.kill()
        return []
    port = life.port()
    clients = [Client(port, random.Random(rng.random())) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    time.sleep(rng.uniform(0, 0.8))
    life.kill()
    for client in clients:
        client.join(60)
        assert not client.is_alive()
    return [client.told for client in clients]


def assert_sound(folder: Path) -> None:
    with closing(sqlite3.connect(folder / DATABASE)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


def test_killed_at_random_moments(start: Start, tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201
    rng = random.Random(seed)
    everything = Told()
    for _ in range(KILLS):
        for told in live_and_die(start(), rng):
            everything.whole |= told.whole
            everything.background |= told.background
            everything.deleted |= told.deleted
        if (tmp_path / DATABASE).exists():
            assert_sound(tmp_path)
    assert len(everything.whole) > KILLS
    assert everything.background
    life = start()
    assert_kept(life.port(), everything)
    print(  # noqa: T201
        f"{len(everything.whole)} whole, {len(everything.background)} in the background, "
        f"{len(everything.deleted)} deleted"
    )


def test_a_full_disk_is_told_and_the_server_goes_on(start: Start, tmp_path: Path) -> None:
    port = start(0.001, 600_000).port()
    whole: list[dict[str, Any]] = []
    filling = "text " * 4_000
    while (events := events_in(create(port, stream=True, input=filling)))[-2]["type"] != "error":
        whole.append(events[-1]["response"])
    for event in events:
        check_event(event)
    assert events[-1]["type"] == "response.completed"
    assert events[-1]["response"]["store"] is False
    assert events[-2]["code"] == "store_failed"
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    folded = json.loads(create(port, input=filling))
    assert (folded["status"], folded["store"]) == ("completed", False)
    refused = json.loads(create(port, input=filling, background=True))
    assert refused["error"]["type"] == "server_error"
    assert whole
    assert_kept(port, Told({response["id"]: response for response in whole}))
    assert json.loads(ask(port, "GET", "/health"))["status"] == "ok"
    assert_sound(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit set from outside")
def test_a_background_response_whose_disk_fills_up_is_told_as_failed(
    start: Start, tmp_path: Path
) -> None:
    life = start(0.05)
    port = life.port()
    path = f"/v1/responses/{json.loads(create(port, background=True))['id']}"
    limits = resource.prlimit(life.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
    events = events_in(ask(port, "GET", f"{path}?stream=true"))
    assert [event["type"] for event in events[-2:]] == ["error", "response.failed"]
    failed = events[-1]["response"]
    assert (failed["status"], failed["store"]) == ("failed", False)
    assert json.loads(ask(port, "GET", path)) == failed
    assert json.loads(ask(port, "POST", f"{path}/cancel")) == failed
    resource.prlimit(life.pid, resource.RLIMIT_FSIZE, limits)
    again = json.loads(create(port))
    assert again["store"] is True
    life.kill()
    port = start().port()
    assert_kept(port, Told({again["id"]: again}))
    assert json.loads(ask(port, "GET", path))["status"] == "failed"
    assert json.loads(ask(port, "DELETE", path))["deleted"] is True
    assert_sound(tmp_path)
