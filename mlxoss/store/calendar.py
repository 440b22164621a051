"""Whether the wall clock is to be believed when it says that something is old."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from mlxoss.findings import DaemonProblem

_LOG = logging.getLogger(__name__)

LEAP_S = 3600.0
"""How far the wall clock may go ahead of the steady one between two looks."""

DOUBT_S = 86400.0
"""How long a clock that leapt is doubted: by then somebody has put it right, or it is."""

_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def steady_s() -> float:
    """Seconds that nobody can set, sleep included (macOS's CLOCK_MONOTONIC counts that too)."""
    return time.clock_gettime(_STEADY)


class Calendar:
    """Watches ``clock`` (Unix seconds) beside ``steady``. Belongs to one thread.

    A clock that leapt forward would make everything old at once, and it would be gone for
    good. So for ``DOUBT_S`` nothing is old, unless the clock goes back before.
    """

    def __init__(self, clock: Callable[[], float], steady: Callable[[], float] = steady_s) -> None:
        self._clock = clock
        self._steady = steady
        self._seen = clock(), steady()
        self._doubt_ends = 0.0
        self.problem: DaemonProblem | None = None

    def is_believed(self) -> bool:
        """Whether ages may be counted now. Call once a minute or so."""
        (wall, steady), self._seen = self._seen, (self._clock(), self._steady())
        now, at = self._seen
        ahead_s = (now - wall) - (at - steady)
        if ahead_s > LEAP_S:
            self._doubt(ahead_s, now, at)
        elif ahead_s < -LEAP_S or at >= self._doubt_ends:
            self.problem = None
        return self.problem is None

    def _doubt(self, ahead_s: float, now: float, at: float) -> None:
        self._doubt_ends = at + DOUBT_S
        self.problem = DaemonProblem(
            "clock_leapt",
            f"The clock went forward by {ahead_s / 3600:.0f} hours at once, so for a day no "
            "response is removed for its age.",
            "Set the clock right if it is wrong; nothing needs to be restarted.",
            now,
        )
        _LOG.warning("%s", self.problem.message)
