"""The service is killed under load: its port comes back, nothing told is lost, nobody is left.

The environment's ``TEST_KILLS`` is how often; a few times by default.
"""

from __future__ import annotations

import http.client
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from tests.support.cli.mac import Mac
from tests.support.http import ask
from tests.support.service.box import is_alive
from tests.support.waiting import until

KILLS = int(os.environ.get("TEST_KILLS", "2"))
ASKED = {"model": "any", "input": "Hello!", "max_output_tokens": 16}


class Client(threading.Thread):
    """Asks until the server is gone, and notes what it was told is stored."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.port = port
        self.told: dict[str, Any] = {}

    def run(self) -> None:
        try:
            while True:
                response = ask(self.port, "POST", "/v1/responses", ASKED).json
                assert response.get("error") is None, response
                if response["store"]:
                    self.told[response["id"]] = response
        except (OSError, http.client.HTTPException, ValueError, LookupError):
            return


def pid_at(port: int) -> int | None:
    """The process that answers there."""
    try:
        return int(ask(port, "GET", "/health").json["pid"])
    except (OSError, http.client.HTTPException, ValueError):
        return None


def live_and_die(mac: Mac, pid: int, rng: random.Random, *, is_first: bool) -> dict[str, Any]:
    """One life of the service, and what it told its clients; the first tells them something."""
    clients = [Client(mac.port) for _ in range(3)]
    for client in clients:
        client.start()
    if is_first or rng.random() < 0.7:  # else it may still load the model
        until(lambda: any(client.told for client in clients))
    time.sleep(rng.uniform(0, 1))
    if rng.random() < 0.5:
        os.kill(pid, signal.SIGSTOP)
        time.sleep(rng.uniform(0, 0.3))
        if rng.random() < 0.5:
            os.kill(pid, signal.SIGCONT)
    os.kill(pid, signal.SIGKILL)
    told: dict[str, Any] = {}
    for client in clients:
        client.join(120)
        assert not client.is_alive()
        told |= client.told
    return told


def ours(mac: Mac) -> list[int]:
    """Every process of this service, whoever started it."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if str(mac.command).encode() in words and b"serve" in words:
            found.append(int(folder.name))
    return [pid for pid in found if is_alive(pid)]


def test_the_service_comes_back_and_has_lost_nothing(mac: Mac) -> None:
    seed = random.randrange(2**32)
    sys.stdout.write(f"seed {seed}\n")
    rng = random.Random(seed)
    mac.install()
    told: dict[str, Any] = {}
    pid = until(lambda: pid_at(mac.port))
    assert pid is not None
    for number in range(KILLS):
        told |= live_and_die(mac, pid, rng, is_first=number == 0)
        before = pid
        pid = until(lambda: pid_at(mac.port))
        assert pid is not None
        assert pid != before
        assert ours(mac) == [pid]
    assert len(told) > KILLS // 10
    for response_id, response in told.items():
        assert ask(mac.port, "GET", f"/v1/responses/{response_id}").json == response
    assert ask(mac.port, "GET", "/health").json["problems"] == []
    sys.stdout.write(f"{len(told)} stored\n")
    mac.ok("stop")
    assert ours(mac) == []
