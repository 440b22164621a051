"""What each client asked for and got, counted by day and kept in the store.

Counts are written some seconds after they came, many at once, and at the end.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping

from mlxoss.errors import StoreError
from mlxoss.store.store import Store
from mlxoss.store.values import TokenCounts, UsageKey, UsageRow
from mlxoss.turns.request_log import RequestLog, RequestRecord

logger = logging.getLogger(__name__)

NOTE_S = 10.0
"""Counts wait for so long: what a process that is killed may lose."""

_FAMILIES = ("chat", "responses", "messages", "completions")


class UsageLog:
    """Counts the turns of ``requests``. Belongs to the event loop's thread.

    ``store`` gives where they are kept, ``note_s`` is how long they may wait.
    """

    def __init__(
        self, requests: RequestLog, store: Callable[[], Store], note_s: float = NOTE_S
    ) -> None:
        self._store = store
        self._note_s = note_s
        self._waiting: dict[UsageKey, TokenCounts] = {}
        self._writing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        requests.on_end(self._count)

    async def read(self, days: int) -> list[UsageRow]:
        """All of the last ``days`` days, sorted. Raises StoreError."""
        async with self._writing:
            kept = {row.key: row.counts for row in await self._store().usage(days)}
            return to_rows(_sum([*kept.items(), *self._waiting.items()]))

    async def close(self) -> None:
        """Write what waits."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        await self._write()

    def _count(self, record: RequestRecord) -> None:
        if record.usage is None:
            return
        usage = TokenCounts(
            1,
            record.usage.prompt_tokens,
            record.usage.cached_tokens,
            record.usage.completion_tokens,
            record.usage.reasoning_tokens,
        )
        day = time.strftime("%Y-%m-%d", time.localtime(record.ended_at))
        key = UsageKey(day, record.client, to_family(record.endpoint))
        self._waiting[key] = self._waiting.get(key, TokenCounts()) + usage
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._write_in_time())

    async def _write_in_time(self) -> None:
        await asyncio.sleep(self._note_s)
        await self._write()

    async def _write(self) -> None:
        async with self._writing:
            written, self._waiting = self._waiting, {}
            if not written:
                return
            try:
                await self._store().add_usage(to_rows(written))
            except StoreError as error:
                logger.warning("counts of tokens could not be kept yet: %s", error)
                self._waiting = _sum([*written.items(), *self._waiting.items()])


def to_family(endpoint: str) -> str:
    """The API of a request log's endpoint (``POST /v1/chat/completions``)."""
    path = endpoint.partition(" ")[2].removeprefix("/v1/")
    return next((name for name in _FAMILIES if path.startswith(name)), "other")


def to_rows(usage: Mapping[UsageKey, TokenCounts]) -> list[UsageRow]:
    """Them as rows, sorted."""
    return [UsageRow(key, usage[key]) for key in sorted(usage)]


def _sum(parts: Iterable[tuple[UsageKey, TokenCounts]]) -> dict[UsageKey, TokenCounts]:
    found: dict[UsageKey, TokenCounts] = {}
    for key, usage in parts:
        found[key] = found.get(key, TokenCounts()) + usage
    return found
