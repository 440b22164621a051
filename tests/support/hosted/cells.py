"""Runs cells in the real sandbox, from tests that have no event loop."""

from __future__ import annotations

import asyncio
import os
import textwrap
from dataclasses import replace
from pathlib import Path

from mlxoss.hosted.python.environment import Environment
from mlxoss.hosted.python.limits import Limits
from mlxoss.hosted.python.tool import Containers, make_root
from mlxoss.outcomes import PythonOutcome
from tests.support.waiting import until


class Cells:
    """A tool of its own. ``cache`` is its folder; other arguments are limits."""

    def __init__(self, cache: Path, packages: Environment | None = None, **limits: float) -> None:
        self._runner = asyncio.Runner()
        self._is_closed = False
        # Starting takes as long as a busy machine wants.
        bounds = replace(Limits(start_s=600.0, cell_s=600.0), **limits)  # type: ignore[arg-type]
        self.tool = Containers(make_root(cache), packages, bounds)
        self.root = next(each for each in (cache / "containers").iterdir())

    def run(self, code: str, container: str = "cntr_a") -> PythonOutcome:
        """Run a cell; indented as the test likes."""
        return self._runner.run(self.tool.run(container, textwrap.dedent(code)))

    def say(self, code: str, container: str = "cntr_a") -> str:
        """What a cell that does not end its process shows."""
        outcome = self.run(code, container)
        assert not outcome.is_failed, outcome.text
        return outcome.logs

    def pid(self, container: str = "cntr_a") -> int:
        """The worker's process."""
        return int(self.say("import os; print(os.getpid())", container))

    def change(self, **limits: float) -> None:
        """Other limits for containers that are there: what went before was given its time."""
        for container in self.tool._held.values():
            container._limits = replace(container._limits, **limits)  # type: ignore[arg-type]

    def start(self, code: str, container: str = "cntr_a") -> asyncio.Task[PythonOutcome]:
        """Begin a cell that goes on while ``wait`` waits."""

        async def begin() -> asyncio.Task[PythonOutcome]:
            return asyncio.ensure_future(self.tool.run(container, textwrap.dedent(code)))

        return self._runner.run(begin())

    def wait(self, seconds: float) -> None:
        """Let what was begun go on."""
        self._runner.run(asyncio.sleep(seconds))

    def end(self, task: asyncio.Task[PythonOutcome]) -> PythonOutcome | None:
        """Wait for what was begun; ``None`` if it was cancelled."""

        async def wait() -> None:
            await asyncio.wait({task})

        self._runner.run(wait())
        return None if task.cancelled() else task.result()

    def files(self) -> list[Path]:
        """All that lies in containers' folders."""
        return [path for each in self.root.iterdir() if each.is_dir() for path in each.rglob("*")]

    def close(self) -> None:
        """End all; a second time does nothing."""
        if not self._is_closed:
            self._is_closed = True
            self._runner.run(self.tool.close())
            self._runner.close()


def is_alive(pid: int) -> bool:
    """Whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def until_gone(pid: int) -> None:
    """Wait until it has ended."""
    until(lambda: not is_alive(pid))
