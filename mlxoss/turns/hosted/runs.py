"""Calls of tools while they run: each ends in time, however that comes, and is counted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlxoss.errors import MlxossError, ModelUnavailable
from mlxoss.outcomes import ToolOutcome
from mlxoss.turns.limits.time_limit import TimeLimit

if TYPE_CHECKING:
    from mlxoss.hosted.tools import HostedTools

logger = logging.getLogger(__name__)

GONE_S = 2.0
"""How long a call that was cancelled is waited for: what it started has to be gone by then."""


@dataclass(slots=True)
class ToolCount:
    """Calls of one tool that ended, those of them that failed, and the seconds of all."""

    calls: int = 0
    failures: int = 0
    seconds: float = 0.0


class ToolRuns:
    """One server's tools, the calls of them that run, and ``counts`` by tool of those that ended.

    ``clock`` gives seconds. The event loop's thread.
    """

    def __init__(self, tools: HostedTools, clock: Callable[[], float]) -> None:
        self.tools = tools
        self.counts: dict[str, ToolCount] = {}
        self._clock = clock
        self._running: set[ToolRun] = set()
        self._is_stopping = False

    def begin(self, name: str, call: Coroutine[Any, Any, ToolOutcome], limit: TimeLimit) -> ToolRun:
        """Start ``call`` of the tool ``name``, which ends with its outcome or at ``limit``."""
        run = ToolRun(call, lambda: self._end(name, run, begun_at))
        begun_at = self._clock()
        self._running.add(run)
        run.timer = limit.call_at_end(lambda: run.end(limit.make_error()))
        if self._is_stopping:
            run.end(_stopping())
        return run

    def stop(self) -> None:
        """End what runs and will: the server stops."""
        self._is_stopping = True
        for run in self._running:
            run.end(_stopping())

    async def close(self) -> None:
        """``stop``, and close the tools."""
        self.stop()
        await self.tools.close()

    def _end(self, name: str, run: ToolRun, begun_at: float) -> None:
        self._running.discard(run)
        count = self.counts.setdefault(name, ToolCount())
        count.calls += 1
        count.failures += run.has_failed
        count.seconds += self._clock() - begun_at


def _stopping() -> ModelUnavailable:
    return ModelUnavailable("The server is stopping.")


class ToolRun:
    """One call that runs. ``wait`` for it once; ``end`` it with what is raised there."""

    def __init__(self, call: Coroutine[Any, Any, ToolOutcome], on_end: Callable[[], None]) -> None:
        self.timer: asyncio.TimerHandle | None = None
        self._task = asyncio.get_running_loop().create_task(call)
        self._on_end = on_end
        self._error: MlxossError | None = None

    @property
    def has_failed(self) -> bool:
        """Whether it gave no outcome, or one that says so."""
        if not self._task.done() or self._task.cancelled() or self._task.exception():
            return True
        outcome = self._task.result()
        return bool(getattr(outcome, "is_failed", False) or getattr(outcome, "failure", None))

    def end(self, error: MlxossError) -> None:
        """Have ``wait`` raise ``error``. Does nothing where the call has ended."""
        if self._error is None and not self._task.done():
            self._error = error
            self._task.cancel()

    async def wait(self) -> ToolOutcome | None:
        """What it gave; ``None`` if it raised, which no tool should. Raises what it was ended with.

        Nothing of the call is left then, nor where who waits is cancelled.
        """
        try:
            await asyncio.wait({self._task})
        finally:
            await self._leave()
        if self._error is not None:
            raise self._error
        if self._task.cancelled() or (error := self._task.exception()) is None:
            return None if self._task.cancelled() else self._task.result()
        logger.error("a tool failed", exc_info=error)
        return None

    async def _leave(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
        if self._task.cancel():
            with suppress(asyncio.CancelledError):
                await asyncio.wait({self._task}, timeout=GONE_S)
        if not self._task.done():
            logger.error("a tool goes on although its call was cancelled")
        self._on_end()
