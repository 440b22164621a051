"""Whether the machine runs at its usual speed: on the mains, and not in low power mode."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from mlxoss.errors import ServiceError
from mlxoss.service.subprocess import RunCommand, run_command

_PMSET = "/usr/bin/pmset"
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
    if "'Battery Power'" in batteries:
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
