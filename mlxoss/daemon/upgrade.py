"""What a running daemon does about an upgrade: it goes on, says so, and starts anew once idle.

Theory of operation. Homebrew makes a new folder, leads ``opt`` there and removes the old folder;
pip and uv change the files in their place. Either way a process that runs keeps what it has
loaded, so all that the server needs is loaded soon after its start, and nothing is read from the
old place from then on (``Routes.preload``, ``mlxoss.demo.expand``).

Every ``LOOK_S`` the files that tell of an upgrade are looked at: where the command leads, the
package's own first file, and its installer's list. Once they differ from those at the start:

1. Wait until they stand still for one look: an installer may be at work.
2. Ask the command that is there now whether its installation is whole and loads, and of what
   version (``mlxoss intact``): one that crashed at its start would be started over and over. A
   group asks so on every host, since its ranks must be of one version.
3. Under a service manager, which starts the command again after every exit but 0: end with
   ``START_ANEW`` when nothing has run for ``IDLE_S``. Turns that wait and background responses
   count as running. From that decision on new turns are refused, so none is begun and lost.

Without a service manager nobody would start it again, so it only says what it found.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import mlxoss
from mlxoss import __version__
from mlxoss.core import JsonMapping
from mlxoss.errors import ServiceError
from mlxoss.files import Stamp, stamp
from mlxoss.findings import DaemonProblem
from mlxoss.hosts import Host, over_ssh, own_command, to_exec
from mlxoss.last_exit import START_ANEW
from mlxoss.server.services import Services
from mlxoss.service.subprocess import run_command

logger = logging.getLogger(__name__)

UPGRADED = "upgraded"
"""The problem's code."""

INTACT = "intact"
"""The command's hidden word."""

LOOK_S = 5.0
IDLE_S = 10.0
"""As long as an agent's tools may take between two turns (``mlxoss.awake``)."""

_AGAIN_LOOKS = 12
"""How many looks later one that was not whole is asked again, if nothing has changed."""

_ASK_S = 60.0
_CONNECT_S = 10

Signs = tuple[str, tuple[Stamp, ...]]


def find_command(argv0: str) -> list[str]:
    """How this process would be started again: by the command that it was, else as a module."""
    path = Path(os.path.abspath(argv0))
    return [str(path)] if path.name == "mlxoss" else own_command()


class Upgrade:
    """Watches for one. ``hosts`` are those of a group, ``is_supervised`` whether anybody starts
    the process again. ``problem`` may be called on any thread, ``look`` on one at a time.
    """

    def __init__(
        self, command: Sequence[str], *, hosts: Sequence[Host] = (), is_supervised: bool
    ) -> None:
        self._command = command
        self._others = [host for host in hosts if not host.is_local]
        self._is_supervised = is_supervised
        self._files = _files_of_interest(command)
        self._first = self._last = self._read_signs()
        self._asked = 0
        self._since = 0.0
        self._version: str | None = None
        self._why: str | None = None

    @property
    def has_come(self) -> bool:
        """Whether what is installed now is another one, and whole wherever it is needed."""
        return self._version is not None and self._why is None

    def problem(self) -> DaemonProblem | None:
        """What to tell of it."""
        if self._last == self._first:
            return None
        if self._version is None:
            message = (
                f"The files of mlxoss {__version__} have changed or gone; it serves without them."
            )
            if self._why is not None:
                message += f" What is there now cannot serve yet: {self._why}."
            remedy = "Let the upgrade end, or install mlxoss again."
        elif self._why is not None:
            message = (
                f"mlxoss {self._version} is installed here, but not on all hosts: {self._why}."
            )
            remedy = "Bring them to that version; until then this one serves."
        else:
            message, remedy = self._to_come(self._version)
        return DaemonProblem(UPGRADED, message, remedy, self._since)

    def look(self) -> None:
        """See what is there now. Takes microseconds, and seconds if that is new."""
        signs = self._read_signs()
        if signs != self._last:
            self._since = self._since or time.time()
            logger.info("the files of mlxoss %s have changed or gone", __version__)
            self._last, self._asked = signs, 0
            self._version = self._why = None
        elif signs != self._first and not self.has_come:
            if self._asked % _AGAIN_LOOKS == 0:
                self._ask()
            self._asked += 1

    async def watch(self, services: Services) -> int:
        """Look again and again; the exit code to end with once that is wanted."""
        while True:
            await asyncio.sleep(LOOK_S)
            await asyncio.to_thread(self.look)
            if self.has_come and self._is_supervised and services.turns.idle_s >= IDLE_S:
                logger.info(
                    "mlxoss %s is installed, and nothing runs: starting anew", self._version
                )
                services.turns.is_stopping = True
                return START_ANEW

    def _to_come(self, version: str) -> tuple[str, str]:
        if version == __version__:
            message = f"mlxoss {version} was installed anew, and what was there before serves."
        else:
            message = f"mlxoss {version} is installed, and {__version__} still serves."
        if self._is_supervised:
            return message, "It starts anew once nothing runs; `mlxoss restart` does so at once."
        return message, "Stop it and start it again."

    def _read_signs(self) -> Signs:
        return os.path.realpath(self._command[0]), tuple(stamp(file) for file in self._files)

    def _ask(self) -> None:
        self._version = None
        try:
            here = _ask([*self._command, INTACT])
            self._version = here["version"]
            self._why = self._ask_others(here)
        except ServiceError as error:
            self._why = str(error)

    def _ask_others(self, here: JsonMapping) -> str | None:
        """Why the other hosts are not as this one is. Raises ``ServiceError``."""
        words = [str(here["python"]), "-P", "-m", "mlxoss", INTACT]
        for host in self._others:
            command = over_ssh(host.ssh, to_exec(words), connect_s=_CONNECT_S)
            try:
                there = _ask(command)
            except ServiceError as error:
                return f"{host}: {error}"
            if there["version"] != here["version"]:
                return f"{host} has {there['version']}"
        return None


def _ask(command: Sequence[str]) -> JsonMapping:
    """What an installation says of itself. Raises ``ServiceError``."""
    done = run_command(command, timeout_s=_ASK_S)
    if done.code != 0:
        raise ServiceError(done.said.removeprefix("mlxoss: "))
    try:
        found = json.loads(done.out)
        return {"version": str(found["version"]), "python": str(found["python"])}
    except (ValueError, KeyError, TypeError):
        raise ServiceError(f"{command[0]} does not say what it is") from None


def _files_of_interest(command: Sequence[str]) -> list[Path]:
    files = [Path(command[0]), Path(mlxoss.__file__)]
    try:
        listed = distribution("mlxoss").files or ()
    except PackageNotFoundError:  # run from a folder of sources
        listed = ()
    return files + [Path(str(file.locate())) for file in listed if file.name == "RECORD"]
