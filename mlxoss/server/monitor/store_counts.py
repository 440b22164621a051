"""How much is kept, told without waiting for the disk."""

from __future__ import annotations

import asyncio
from dataclasses import asdict

from mlxoss.errors import StoreError
from mlxoss.server.services import Services

_COUNT_S = 0.01
"""How long to wait for the store's counts: those of before beat a late answer."""


class StoreCounts:
    """The store's counts, taken anew for each caller unless that takes too long."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._counts: dict[str, int] | None = None
        self._counting: asyncio.Task[None] | None = None

    async def latest(self) -> dict[str, int] | None:
        """The counts of now or, where the store is busy, of before. On the event loop's thread."""
        if self._counting is None and not self._services.turns.is_stopping:
            self._counting = asyncio.get_running_loop().create_task(self._count())
        if self._counting is not None:
            await asyncio.wait([self._counting], timeout=_COUNT_S)
        return self._counts

    async def _count(self) -> None:
        try:
            self._counts = asdict(await self._services.turns.storage.store.stats())
        except StoreError:
            self._counts = None
        finally:
            self._counting = None
