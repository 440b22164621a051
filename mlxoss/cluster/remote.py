"""Asks ``mlxoss`` on a host, started as a rank is: by ssh, at the path that it has here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from threading import Timer
from types import TracebackType

from mlxoss.cluster.report import PROBE, find_answer
from mlxoss.cluster.trouble import Trouble, explain
from mlxoss.core import JsonMapping, JsonObject
from mlxoss.hosts import Host, over_ssh, own_command, to_exec

CONNECT_S = 5
_NOTICE_LOSS = ("-o", "ServerAliveInterval=5")
_MOST_SAID = 8192
_MOST_LINE = 1 << 20


@dataclass(frozen=True, slots=True)
class Remote:
    """A host, and the interpreter that runs ``mlxoss`` there: this one's path."""

    host: Host
    python: str = sys.executable

    def ask(self, question: JsonMapping, limit_s: float) -> JsonObject | Trouble:
        """Ask for one answer. Never raises."""
        with Asking(self, question, limit_s) as asking:
            return asking.answer()

    def needs_agent(self) -> bool:
        """Whether ssh gets there only with the agent of this shell, which no service has."""
        env = {name: text for name, text in os.environ.items() if name != "SSH_AUTH_SOCK"}
        command = self._over_ssh("exit 0")
        try:
            done = subprocess.run(
                command, env=env, capture_output=True, timeout=4 * CONNECT_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
        return done.returncode != 0

    def command(self, arguments: Sequence[str]) -> list[str]:
        """What to run here so that ``arguments`` run there."""
        words = own_command(*arguments, python=self.python)
        return words if self.host.is_local else self._over_ssh(to_exec(words))

    def _over_ssh(self, command: str) -> list[str]:
        return over_ssh(self.host.ssh, command, connect_s=CONNECT_S, options=_NOTICE_LOSS)


class Asking:
    """A question under way; answers come as the host gives them. Leaving it ends it.

    The host ends its side after ``limit_s`` by itself, so that nothing stays behind there.
    """

    def __init__(self, remote: Remote, question: JsonMapping, limit_s: float) -> None:
        self._remote = remote
        self._question = json.dumps({**question, "limit_s": limit_s}) + "\n"
        self._limit_s = limit_s
        self._late = False
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed by __exit__)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Asking:
        with suppress(OSError):  # there is no ssh: no process, and no answer
            self._process = subprocess.Popen(
                self._remote.command(PROBE),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env=os.environ | {"LC_ALL": "C"},
            )
            self._timer = Timer(self._limit_s + CONNECT_S, self._give_up)
            self._timer.start()
            assert self._process.stdin is not None
            with self._process.stdin as stdin:  # may be gone already, and closing it fails then
                stdin.write(self._question.encode())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self._timer.cancel()
            self._process.kill()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process.wait()
        self._errors.close()

    def answer(self) -> JsonObject | Trouble:
        """Wait for the next answer."""
        if self._process is None:
            return Trouble("there is no ssh command on this machine", "Install OpenSSH's client.")
        assert self._process.stdout is not None
        for line in iter(partial(self._process.stdout.readline, _MOST_LINE), b""):
            found = find_answer(line.decode("utf-8", "replace"))
            if found is not None:
                return found
        return self._explain(self._process.wait())

    def _explain(self, code: int) -> Trouble:
        if self._late:
            detail = f"it did not answer within {self._limit_s + CONNECT_S:.0f} s"
            return Trouble(detail, f"See whether it is awake: ssh {self._remote.host.ssh} uptime")
        self._errors.seek(0)
        said = self._errors.read(_MOST_SAID).decode("utf-8", "replace")
        return explain(self._remote.host, self._remote.python, code, said)

    def _give_up(self) -> None:
        assert self._process is not None
        self._late = True
        self._process.kill()
