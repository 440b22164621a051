"""Daemons whose demo model several ranks share, and what is asked of them."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from openai import APIError, OpenAI

from tests.support.cli.daemon import Daemon, start_daemon
from tests.support.waiting import until

TIMEOUT_S = 5
"""Shorter than MLX's own tries to form a ring."""
SILENCE_S = 15
"""A rank that says nothing for so long is lost: longer than a busy machine makes one wait."""
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
    own = ("--hostfile", str(write_hosts(folder, size)), "--rank-timeout", str(SILENCE_S))
    with start_daemon(folder, *own, *flags) as daemon:  # the later one of two flags counts
        daemon.wait_until_loaded()
        yield daemon


OTHER_SSH = """#!/bin/sh
while [ "$1" != -- ]; do shift; done
shift 2
PYTHONPATH={folder} exec sh -c "$*"
"""


@contextlib.contextmanager
def group_with_other(folder: Path, first: str, *, ip: str = "127.0.0.1") -> Iterator[Daemon]:
    """A daemon and a machine behind ssh whose Python runs ``first`` before anything else."""
    ssh = folder / "bin" / "ssh"
    ssh.parent.mkdir()
    ssh.write_text(OTHER_SSH.format(folder=folder))
    ssh.chmod(0o755)
    (folder / "sitecustomize.py").write_text(first)
    hostfile = folder / "hosts.json"
    hosts = (("127.0.0.1", "127.0.0.1"), ("other-mac", ip))
    hostfile.write_text(json.dumps([{"ssh": name, "ips": [each]} for name, each in hosts]))
    flags = ("--hostfile", str(hostfile), "--rank-timeout", str(TIMEOUT_S))
    env = {"PATH": f"{ssh.parent}:{os.environ['PATH']}"}
    with start_daemon(folder / "home", *flags, env=env) as daemon:
        yield daemon


def pids(daemon: Daemon) -> list[int]:
    return [rank["pid"] for rank in daemon.health()["ranks"]["ranks"]]


class Talk:
    """A streamed answer without end, read on a thread; ``error`` is how it ended."""

    def __init__(self, daemon: Daemon) -> None:
        self.text = ""
        self.error: Exception | None = None
        self._is_over = False
        self._client = OpenAI(base_url=f"{daemon.url}/v1", api_key="-", max_retries=0)
        self._thread = threading.Thread(target=self._read)
        self._thread.start()
        until(lambda: self.text != "")

    def _read(self) -> None:
        try:
            with self._client.completions.create(
                model="-", prompt="Hello", stream=True, max_tokens=4000, logit_bias=ENDLESS
            ) as stream:
                for chunk in stream:
                    self.text += chunk.choices[0].text or " "
                    if self._is_over:
                        return
        except Exception as error:  # noqa: BLE001 - to be looked at
            self.error = error

    def stop(self) -> None:
        """Leave."""
        self._is_over = True
        self._thread.join(120)

    def end(self) -> None:
        """Wait for its end, whatever it is: the server may have been killed."""
        self._thread.join(120)
        assert self.error is not None

    def join(self) -> str:
        """Wait for its end; what the error says."""
        self.end()
        assert isinstance(self.error, APIError), self.error
        return str(self.error)


def complete(daemon: Daemon, max_tokens: int = 12) -> str:
    client = OpenAI(base_url=f"{daemon.url}/v1", api_key="-", max_retries=0)
    done = client.completions.create(
        model="-", prompt="Hello", temperature=0, max_tokens=max_tokens, logit_bias=ENDLESS
    )
    return done.choices[0].text
