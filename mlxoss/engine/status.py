"""How the engine is, and who waits for it to get somewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from mlxoss.engine.backend import PrefixCacheStatus
from mlxoss.engine.ranks.values import RanksStatus
from mlxoss.errors import RanksLost


class EngineState(StrEnum):
    """Whether requests can be served: they wait while ``loading`` and run when ``ok``.

    ``unloaded``: the model left the memory, idle or asked to; a request loads it again.
    """

    LOADING = "loading"
    OK = "ok"
    UNLOADED = "unloaded"
    FAILED = "failed"
    CLOSED = "closed"

    @property
    def is_final(self) -> bool:
        """Whether no other state follows."""
        return self in (EngineState.FAILED, EngineState.CLOSED)


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """A reading of the engine. ``error`` says why it failed.

    The rates are means over the last minute (or since the start), idle time included.
    ``refused`` counts the ``QueueFull`` errors since the start, ``pauses`` how often a sequence
    was paused for want of memory; ``paused`` are at the moment. ``prefix_cache`` is as of the
    last step, ``None`` before the model is loaded. ``ranks`` is ``None`` where there is one.
    """

    state: EngineState
    error: str | None
    active: int
    waiting: int
    oldest_wait_s: float
    decode_tokens_per_s: float
    prefill_tokens_per_s: float
    refused: int
    paused: int
    pauses: int
    prefix_cache: PrefixCacheStatus | None
    ranks: RanksStatus | None = None


class Ranks(Protocol):
    """The machines that share a model, as the engine sees them."""

    on_lost: Callable[[RanksLost], None]
    """Called once, on any thread, when they cannot go on."""

    @property
    def is_lost(self) -> bool:
        """Whether they cannot go on."""

    def status(self) -> RanksStatus:
        """A reading. Any thread."""

    def keep_awake(self, is_wanted: bool) -> None:
        """Have the other machines' idle sleep held off, or no more. Any thread, at once."""


class EnginePhase:
    """The present state. ``now`` may be read on any thread, the rest is the event loop's."""

    def __init__(self) -> None:
        self.now = EngineState.LOADING
        self._waiters: dict[asyncio.Future[EngineState], EngineState] = {}

    def enter(self, state: EngineState) -> None:
        """Go on to ``state``."""
        self.now = state
        for waiter, wanted in self._waiters.items():
            if (state is wanted or state.is_final) and not waiter.done():
                waiter.set_result(state)

    async def reach(self, wanted: EngineState) -> EngineState:
        """Wait for the next time that the state is ``wanted``, however short, or a final one.

        Returns the one it was.
        """
        waiter: asyncio.Future[EngineState] = asyncio.get_running_loop().create_future()
        self._waiters[waiter] = wanted
        try:
            return await waiter
        finally:
            del self._waiters[waiter]

    def is_awaited(self, wanted: EngineState) -> bool:
        """Whether somebody waits for ``wanted``."""
        return wanted in self._waiters.values()
