"""Whether the machine runs at its usual speed: on the mains, and not in low power mode.

What speaks against measuring speaks against keeping the GPU busy for nothing, too.
"""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from mlxoss.errors import ServiceError
from mlxoss.service.subprocess import RunCommand, run_command

_PMSET = "/usr/bin/pmset"
_BATTERIES = ("'Battery Power'", "'UPS Power'")
"""What ``pmset -g batt`` draws from, other than 'AC Power' (IOKit's names of power sources)."""
_SUPPLIES = Path("/sys/class/power_supply")
# ``pmset -g``: a line "lowpowermode 1" among the settings in use, "powermode" on Macs that also
# have a high power mode (pmset(1): 0 automatic, 1 low, 2 high).
_LOW = re.compile(r"^\s*(?:lowpowermode|powermode)\s+1\b", re.MULTILINE)


def power_problem(
    platform: str = sys.platform, run: RunCommand = run_command, supplies: Path = _SUPPLIES
) -> str | None:
    """What speaks against measuring, as a sentence; ``None`` where nothing does or none tells."""
    if platform != "darwin":
        return _linux_problem(supplies)
    try:
        batteries, in_use = (run([_PMSET, "-g", *more]).out for more in (["batt"], []))
    except ServiceError:
        return None
    if any(source in batteries for source in _BATTERIES):
        return "This Mac runs on battery, which slows it down."
    if _LOW.search(in_use):
        return "This Mac is in low power mode, which slows it down."
    return None


def _linux_problem(supplies: Path) -> str | None:
    """By the kernel's files (``Documentation/ABI/testing/sysfs-class-power``)."""
    try:
        found = [
            ((supply / "type").read_text().strip(), (supply / "status").read_text().strip())
            for supply in supplies.iterdir()
            if (supply / "status").exists()
        ]
    except OSError:
        return None
    if ("Battery", "Discharging") in found:
        return "This machine runs on battery, which slows it down."
    return None


FRESH_S = 15.0
"""So old an answer is asked for anew, and twice as old it is not believed: about how long it takes
to be noticed that the plug is out."""


class PowerWatch:
    """Whether the machine runs at its usual speed, for who asks several times a second.

    ``is_full`` may be called on any thread and returns at once: a thread asks the system meanwhile,
    and only while somebody wants to know. ``ask`` is as ``power_problem``.
    """

    def __init__(
        self,
        ask: Callable[[], str | None] = power_problem,
        fresh_s: float = FRESH_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask = ask
        self._fresh_s = fresh_s
        self._clock = clock
        self._lock = threading.Lock()
        self._is_full = False
        self._asked_at: float | None = None
        self._asking: threading.Thread | None = None

    def is_full(self) -> bool:
        """Whether it did when the system was asked last; no, as long as that is not known."""
        with self._lock:
            age_s = None if self._asked_at is None else self._clock() - self._asked_at
            if self._asking is None and (age_s is None or age_s >= self._fresh_s):
                self._asking = threading.Thread(
                    target=self._renew, name="mlxoss-power", daemon=True
                )
                self._asking.start()
            return self._is_full and age_s is not None and age_s < 2 * self._fresh_s

    def _renew(self) -> None:
        is_full = False
        try:
            is_full = self._ask() is None
        finally:
            with self._lock:
                self._is_full, self._asked_at, self._asking = is_full, self._clock(), None
