"""The longest that an answer may take."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from mlxoss.errors import TurnTimedOut


class TimeLimit:
    """``seconds`` from now on, ``None`` for as long as it takes. The event loop's thread."""

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._ends_at = seconds and asyncio.get_running_loop().time() + seconds

    def call_at_end(self, callback: Callable[[], None]) -> asyncio.TimerHandle | None:
        """Have ``callback`` called once it is over; ``None`` where that never is."""
        if not self._ends_at:
            return None
        return asyncio.get_running_loop().call_at(self._ends_at, callback)

    def make_error(self) -> TurnTimedOut:
        """What to raise then."""
        return TurnTimedOut(
            f"The answer was not complete after {self._seconds:.0f} s, the most that this "
            "server gives one (its setting request_timeout)."
        )
