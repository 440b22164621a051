"""Starts ``mlxoss serve`` as a process and knows where it listens."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.cli.runner import environment

_ADDRESS = re.compile(r"Serving \S+ at (https?://\S+)/v1\.")


@dataclass
class Daemon:
    """A running ``mlxoss serve``; ``said`` grows with what it writes to stderr."""

    process: subprocess.Popen[str]
    said: list[str] = field(default_factory=list)

    @property
    def url(self) -> str | None:
        """Where it listens, once it said so."""
        return next((match[1] for line in self.said if (match := _ADDRESS.match(line))), None)

    def health(self) -> dict[str, Any]:
        """What ``/health`` answers, whatever its HTTP status."""
        try:
            answer = urllib.request.urlopen(f"{self.url}/health", timeout=120)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def wait_until_loaded(self) -> None:
        self.wait_until(lambda: self.health()["status"] != "loading")
        assert self.health()["status"] == "ok", "".join(self.said)

    def wait_until(self, condition: Callable[[], object], within_s: float = 300.0) -> None:
        deadline = time.monotonic() + within_s
        while not condition():
            text = "".join(self.said)
            assert self.process.poll() is None, f"it ended: {text}"
            assert time.monotonic() < deadline, f"not in {within_s} s: {text}"
            time.sleep(0.01)

    def stop(self, number: int) -> int:
        """Send a signal; return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(300)


@contextlib.contextmanager
def start_daemon(
    home: Path,
    *flags: str,
    env: Mapping[str, str] | None = None,
    prefix: Sequence[str] = (),
    command: Sequence[str | Path] = (sys.executable, "-m", "mlxoss"),
) -> Iterator[Daemon]:
    """Run ``mlxoss serve`` on a free port until the block ends; yields once it listens.

    ``prefix`` is a command that ends by becoming another, with fewer rights perhaps, and
    ``command`` the one that it becomes.
    """
    process = subprocess.Popen(
        [*prefix, *command, "serve", "--port", "0", *flags],
        env=environment(home, env),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    daemon = Daemon(process)
    assert process.stderr is not None
    reader = threading.Thread(target=daemon.said.extend, args=(process.stderr,))
    reader.start()
    try:
        daemon.wait_until(lambda: daemon.url)
        yield daemon
    finally:
        process.kill()
        process.wait()
        reader.join()
        process.stderr.close()
