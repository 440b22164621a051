"""Whether the weights are wired: kept where the system can neither page them out nor let them go.

macOS takes back what no GPU work has used for about a second, and mapping a model of 13 GB again
costs the next request a quarter of a second. Wired memory stays, but other programs then have that
much less, whatever they need. So it is the weights alone, not on small Macs, and not for ever:
after some idle minutes they are let go, and wired again when they are used (``mlx/wiring.py``).

The choice needs no MLX: commands explain it too. What was wired is noted here, since MLX has one
limit per process and cannot be asked for it.
"""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass

from mlxoss.system.memory import machine_bytes

SMALL_BYTES = 16 << 30
"""On Macs of that memory or less wired weights starve the rest of the system."""

OLDEST_MACOS = 15
"""Metal's residency sets, by which MLX wires, came with it."""

_RENEW = "MLX_METAL_RESIDENCY_REFRESH_INTERVAL_MS"
_RENEWED_MS = "1000"

_noted: int | None = None
_is_let_go = False


@dataclass(frozen=True, slots=True)
class Wiring:
    """Whether the weights are ``wired``, and ``why``, in words for the log and ``doctor``."""

    wired: bool
    why: str


def choose_wiring(setting: str, total_bytes: int, macos: str) -> Wiring:
    """What the setting ``wired`` comes to on a machine.

    ``macos`` is the system's version (``15.3``), empty where the system is another.
    """
    if not macos:
        return Wiring(False, "only Metal wires memory")
    if int(macos.partition(".")[0]) < OLDEST_MACOS:
        return Wiring(False, f"macOS {OLDEST_MACOS} or newer wires memory, and this is {macos}")
    if setting != "auto":
        return Wiring(setting == "weights", f"wired is set to {setting}")
    size = f"this Mac has {total_bytes / (1 << 30):.0f} GiB of memory"
    if total_bytes <= SMALL_BYTES:
        return Wiring(False, f"{size}, and the rest of the system needs it")
    return Wiring(True, size)


def choose_wiring_here(setting: str) -> Wiring:
    """The same on this machine. Python may call macOS 26 16; 15 and newer it never calls older."""
    return choose_wiring(setting, machine_bytes(), platform.mac_ver()[0])


def renew_wired(wiring: Wiring) -> None:
    """Have MLX ask for what is wired once a second: macOS 26 lets go of that too, unless asked.

    MLX reads the variable, which it has since 0.32.4, when the GPU is first used, and never again:
    its thread goes on for as long as the process, but asks for nothing while nothing is wired.
    Whoever has set it is left to it (0: not at all).
    """
    if wiring.wired:
        os.environ.setdefault(_RENEW, _RENEWED_MS)


def note_wired(size_bytes: int | None) -> None:
    """Note what MLX was told to wire, ``None`` where there is no model or no Metal."""
    global _noted, _is_let_go
    _noted, _is_let_go = size_bytes, False


def note_let_go() -> None:
    """Note that what was wired last is no longer, until it is noted as wired again."""
    global _is_let_go
    _is_let_go = True


def wired_bytes() -> int | None:
    """What is wired, by what was noted last. Any thread."""
    return 0 if _is_let_go else _noted


def let_go_bytes() -> int:
    """What was wired and will be again, once it is used. Any thread."""
    return (_noted or 0) if _is_let_go else 0
