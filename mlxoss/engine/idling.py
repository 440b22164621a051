"""What the engine does while nobody asks for anything, and after how long."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from operator import itemgetter

REST_S = 5.0
"""Idle for so long, memory that is kept for reuse goes back."""

LET_GO_S = 600.0
"""Idle for so long, the weights are no longer wired: an agent's tools and people's thoughts take
minutes, and whoever is away for longer waits a quarter of a second once."""

TICK_S = 0.25
"""How often a GPU that is kept warm gets something to do. It slows down within a second."""


class Deed(Enum):
    """What is done; ``Backend`` has a method for each."""

    KEEP_WARM = auto()
    REST = auto()
    LET_GO = auto()


@dataclass(frozen=True, slots=True)
class Idling:
    """Seconds without a command until something is done.

    After ``unload_s`` the model leaves the memory, never with ``None``. For ``keep_warm_s`` after a
    step the GPU is kept warm, as long as ``may_keep_warm`` says so, which is asked each time on the
    engine's thread, and must not wait.
    """

    unload_s: float | None = None
    keep_warm_s: float = 0.0
    may_keep_warm: Callable[[], bool] = lambda: True
    let_go_s: float = LET_GO_S

    def deeds(self, ran_s: float) -> Iterator[tuple[float, Deed]]:
        """What is to be done before the end, each with its time from now, in order.

        ``ran_s`` is how long ago the last step was, infinite before the first one.
        """
        end_s = math.inf if self.unload_s is None else self.unload_s
        warm_s = max(0.0, min(self.keep_warm_s - ran_s, end_s))
        ticks = int(warm_s / TICK_S)
        warm = ((count * TICK_S, Deed.KEEP_WARM) for count in range(1, ticks + 1))
        others = [(min(REST_S, end_s), Deed.REST)]
        if self.let_go_s < end_s:
            others.append((self.let_go_s, Deed.LET_GO))
        return heapq.merge(warm, sorted(others, key=itemgetter(0)), key=itemgetter(0))


FOR_EVER = Idling()
"""The model stays."""
