"""What is sent in silence, so that nobody takes a connection for dead."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self


class Heartbeat:
    """A context: inside it, ``beat`` is called after each ``silence_s`` without a ``note``.

    It ends for good with the first ``beat`` that raises. The event loop's thread.
    """

    def __init__(self, silence_s: float, beat: Callable[[], Awaitable[None]]) -> None:
        self._silence_s = silence_s
        self._call = beat
        self._loop = asyncio.get_running_loop()
        self._sent_at = self._loop.time()
        self._task: asyncio.Task[None] | None = None

    def note(self) -> None:
        """Something was sent now."""
        self._sent_at = self._loop.time()

    async def __aenter__(self) -> Self:
        self._task = self._loop.create_task(self._beat())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _beat(self) -> None:
        while True:
            silent_s = self._loop.time() - self._sent_at
            if silent_s >= self._silence_s:
                await self._call()
                self.note()
            else:
                await asyncio.sleep(self._silence_s - silent_s)
