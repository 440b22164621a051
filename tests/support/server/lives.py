"""Servers that are killed, clients that note what they were told, and the check that it is so."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from mlxoss.server.storage import DATABASE
from tests.support.api.strict import check_event, check_response
from tests.support.http import ask
from tests.support.waiting import until

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
        until(lambda: not is_there(self.pid))


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
def nursery(folder: Path, prefix: Sequence[str] = ()) -> Iterator[Start]:
    """Starts servers whose state is in ``folder``; ``prefix`` becomes their parent."""
    command = [*prefix, sys.executable, "-m", "tests.support.server.kept_process", str(folder)]
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


def create(port: int, **fields: Any) -> bytes:
    return ask(port, "POST", "/v1/responses", {"model": "any", "input": "Hello!"} | fields).body


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

    def stream(self, previous: str | None) -> str | None:
        events = events_in(create(self.port, stream=True, previous_response_id=previous))
        if events[-1]["type"] != "response.completed":
            raise ConnectionError
        return self.note(events[-1]["response"])

    def fold(self, previous: str | None) -> str | None:
        return self.note(json.loads(create(self.port, previous_response_id=previous)))

    def queue(self, previous: str | None) -> str | None:
        queued = json.loads(create(self.port, background=True, previous_response_id=previous))
        if "error" in queued and queued["error"] is not None:
            return previous  # it could not be stored, and was not begun
        self.told.background.add(queued["id"])
        return previous

    def forget(self, previous: str | None) -> None:
        """Delete one of a chain's own, so that nothing else goes on from it."""
        response_id = self.note(json.loads(create(self.port)))
        if response_id is None:
            return
        del self.told.whole[response_id]
        if ask(self.port, "DELETE", f"/v1/responses/{response_id}").json["deleted"]:
            self.told.deleted.add(response_id)

    def note(self, response: dict[str, Any]) -> str | None:
        """Its id if it was said to be stored: no disk was full."""
        if not response["store"]:
            return None
        response_id: str = response["id"]
        self.told.whole[response_id] = response
        return response_id


def assert_kept(port: int, told: Told) -> None:
    """All that was told is so."""
    for response_id, response in told.whole.items():
        assert ask(port, "GET", f"/v1/responses/{response_id}").json == response
    for response_id in told.deleted:
        answer = ask(port, "GET", f"/v1/responses/{response_id}").json
        assert answer["error"]["code"] == "response_not_found"
    for response_id in told.background:
        kept = ask(port, "GET", f"/v1/responses/{response_id}").json
        check_response(kept)
        assert kept["status"] in ("completed", "failed")
        body = ask(port, "GET", f"/v1/responses/{response_id}?stream=true").body
        events = events_in(body)
        for event in events:
            check_event(event)
        assert [event["sequence_number"] for event in events] == list(range(len(events)))
        assert events[-1]["response"] == kept
        assert body.endswith(b"data: [DONE]\n\n")


def assert_sound(folder: Path) -> None:
    with closing(sqlite3.connect(folder / DATABASE)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
