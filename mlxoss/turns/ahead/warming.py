"""What most conversations begin with, computed after each load before anybody asks."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from mlxoss.engine.engine import Engine
from mlxoss.engine.status import EngineState
from mlxoss.errors import ModelUnavailable
from mlxoss.turns.ahead.table import PrefixTable
from mlxoss.turns.encoding_loader import EncodingLoader

if TYPE_CHECKING:  # openai-harmony takes longer to import than all of the server
    from mlxoss.harmony.encoding import Encoding
    from mlxoss.harmony.head import Head

logger = logging.getLogger(__name__)

POLL_S = 1.0
"""How often it is asked whether the machine may compute, a few times in a row."""

LOOKS = 5

PAUSE_S = 30.0
"""Between those times: a laptop may be on battery for hours, and asking costs a process."""


class Ahead(NamedTuple):
    """Which prefixes are computed ahead, and whether the machine may do so now: asked often, and
    answered at once."""

    table: PrefixTable
    may_warm: Callable[[], bool]


class PrefixWarmer:
    """Counts the prefixes of a server's turns, and computes the most used ones in idle time.

    Without ``ahead`` it does neither. They take half of the prefix cache's memory at most. Belongs
    to the event loop's thread.
    """

    def __init__(
        self,
        engine: Engine,
        encoding: EncodingLoader,
        ahead: Ahead | None,
        today: Callable[[], datetime.date],
    ) -> None:
        self._engine = engine
        self._encoding = encoding
        self._ahead = ahead
        self._today = today
        self.is_waiting = False
        """Whether there is something to compute that the machine may not now."""
        self._lock = asyncio.Lock()
        self._is_wanted = asyncio.Event()
        self._asking = 0

    @property
    def is_on(self) -> bool:
        """Whether anything is computed ahead."""
        return self._ahead is not None

    def count(self, head: Head | None) -> None:
        """A turn's prompt begins with ``head``, if it has one."""
        if self._ahead is not None and head is not None:
            self._ahead.table.count(head.ids, head.opening)

    async def run(self) -> None:
        """Compute them after every load, until the engine ends."""
        engine = self._engine
        try:
            while self.is_on:
                loading = asyncio.ensure_future(engine.next_load())
                try:
                    await self._warm_all()
                    await loading
                finally:
                    loading.cancel()
        except ModelUnavailable:
            return

    async def warm_now(self) -> int:
        """Have them computed, whatever the machine runs on; how many are there.

        The model is loaded. Raises ``ModelUnavailable``.
        """
        self._asking += 1
        self._is_wanted.set()
        try:
            return await self._warm_all()
        finally:
            self._asking -= 1
            if not self._asking:
                self._is_wanted.clear()

    async def _warm_all(self) -> int:
        # Before the model is there it would have the vocabulary loaded in the way of others.
        is_loaded = self._engine.status().state is EngineState.OK
        if self._ahead is None or not is_loaded or not self._ahead.table.most_used():
            return 0
        encoding = await self._encoding.get()
        async with self._lock:
            done = 0
            for head_ids in self._ahead.table.most_used():
                prompt_ids = self._to_prompt(encoding, head_ids)
                done += bool(prompt_ids) and self._has_room() and await self._warm(prompt_ids)
        if done:
            logger.info("%d prefixes of prompts are computed ahead", done)
        return done

    def _to_prompt(self, encoding: Encoding, head_ids: tuple[int, ...]) -> tuple[int, ...]:
        """What has the head computed, as it is today; nothing where the file holds no such."""
        from mlxoss.harmony.head import redate, to_prompt

        try:
            return to_prompt(redate(encoding, head_ids, self._today()))
        except ValueError:
            return ()

    async def _warm(self, prompt_ids: tuple[int, ...]) -> bool:
        engine = self._engine
        looks = 0
        while engine.status().state is EngineState.OK:
            assert self._ahead is not None
            self.is_waiting = not self._asking and not self._ahead.may_warm()
            if self.is_waiting:
                looks += 1
                await self._wait(POLL_S if looks % LOOKS else PAUSE_S)
            elif not await engine.warm_bit(prompt_ids):
                return engine.status().state is EngineState.OK
        return False

    async def _wait(self, most_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._is_wanted.wait(), most_s)

    def _has_room(self) -> bool:
        cache = self._engine.status().prefix_cache
        return cache is not None and 2 * cache.bytes <= cache.limit_bytes
