"""A rank that dies or stalls ends the group: with a clear error, a code, and no orphan."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from openai import APIError, OpenAI

from tests.cli.daemon import Daemon, start_daemon

TIMEOUT_S = 3
ENDLESS = {"200002": -100, "200012": -100}
"""Keeps the demo from ending its turn."""


def write_hosts(folder: Path, size: int) -> Path:
    """A hostfile of ranks that all run here."""
    hostfile = folder / "hosts.json"
    hostfile.write_text(json.dumps([{"ssh": "127.0.0.1", "ips": ["127.0.0.1"]}] * size))
    return hostfile


@contextlib.contextmanager
def group(folder: Path, size: int = 2, *flags: str) -> Iterator[Daemon]:
    """A daemon whose demo model ``size`` ranks share, loaded."""
    own = ("--hostfile", str(write_hosts(folder, size)), "--rank-timeout", str(TIMEOUT_S))
    with start_daemon(folder, *own, *flags) as daemon:  # the later one of two flags counts
        daemon.wait_until_loaded()
        yield daemon


def pids(daemon: Daemon) -> list[int]:
    return [rank["pid"] for rank in daemon.health()["ranks"]["ranks"]]


def is_there(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition: Callable[[], bool], within_s: float = 60.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Talk:
    """A streamed answer without end, read on a thread; ``error`` is how it ended."""

    def __init__(self, daemon: Daemon) -> None:
        self.text = ""
        self.error: Exception | None = None
        self._client = OpenAI(base_url=f"{daemon.url}/v1", api_key="-", max_retries=0)
        self._thread = threading.Thread(target=self._read)
        self._thread.start()
        wait_until(lambda: self.text != "")

    def _read(self) -> None:
        try:
            with self._client.completions.create(
                model="-", prompt="Hello", stream=True, max_tokens=4000, logit_bias=ENDLESS
            ) as stream:
                for chunk in stream:
                    self.text += chunk.choices[0].text or " "
        except Exception as error:  # noqa: BLE001 - to be looked at
            self.error = error

    def join(self) -> str:
        """Wait for its end; what the error says."""
        self._thread.join(60)
        assert isinstance(self.error, APIError), self.error
        return str(self.error)


def test_a_worker_that_is_killed(tmp_path: Path) -> None:
    with group(tmp_path) as daemon:
        _, worker = pids(daemon)
        talk = Talk(daemon)
        os.kill(worker, signal.SIGKILL)
        assert "Rank 1 on 127.0.0.1 ended" in talk.join()
        assert daemon.process.wait(60) == 1
        wait_until(lambda: not is_there(worker))


def test_a_worker_that_is_stopped(tmp_path: Path) -> None:
    with group(tmp_path) as daemon:
        _, worker = pids(daemon)
        talk = Talk(daemon)
        os.kill(worker, signal.SIGSTOP)
        assert "Rank 1 on 127.0.0.1 stopped answering" in talk.join()
        assert daemon.process.wait(60) == 1
        wait_until(lambda: not is_there(worker))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_rank_0_that_dies_or_is_stopped_leaves_no_orphan(tmp_path: Path, number: int) -> None:
    with group(tmp_path) as daemon:
        _, worker = pids(daemon)
        Talk(daemon)
        daemon.process.send_signal(number)
        wait_until(lambda: not is_there(worker))


def ask(daemon: Daemon, max_tokens: int = 12) -> str:
    client = OpenAI(base_url=f"{daemon.url}/v1", api_key="-", max_retries=0)
    done = client.completions.create(
        model="-", prompt="Hello", temperature=0, max_tokens=max_tokens, logit_bias=ENDLESS
    )
    return done.choices[0].text


def tell(daemon: Daemon, what: str) -> None:
    urllib.request.urlopen(f"{daemon.url}/mlxoss/{what}", data=b"", timeout=60).close()


def test_unloaded_and_loaded_again_then_a_gentle_end(tmp_path: Path) -> None:
    with group(tmp_path) as daemon:
        _, worker = pids(daemon)
        found = daemon.health()["ranks"]
        assert found["backend"] == "ring"
        assert found["communication_s_per_step"] > 0
        assert [rank["rank"] for rank in found["ranks"]] == [0, 1]
        held = [rank["memory"]["active_bytes"] for rank in found["ranks"]]
        said = ask(daemon)
        tell(daemon, "unload")
        wait_until(lambda: rank_memory(daemon) < held[1] / 2)
        assert daemon.health()["status"] == "unloaded"
        assert ask(daemon) == said
        assert pids(daemon)[1] == worker
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(ask, daemon, 60)
            daemon.wait_until(lambda: daemon.health()["active_requests"] == 1)
            daemon.process.send_signal(signal.SIGTERM)
            assert len(answer.result()) > len(said)
        assert daemon.process.wait(60) == 0
        assert not is_there(worker)


def rank_memory(daemon: Daemon) -> int:
    active: int = daemon.health()["ranks"]["ranks"][1]["memory"]["active_bytes"]
    return active
