"""Waiting for what another thread or process brings about."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

HANG_S = 120.0
"""After so long something hangs, on the busiest machine too: it says nothing about speed."""


def until(check: Callable[[], T], *, pause_s: float = 0.01) -> T:
    """What ``check`` returns once that is true; called again and again, ``pause_s`` between."""
    end = time.monotonic() + HANG_S
    while not (value := check()):
        assert time.monotonic() < end, f"it did not happen within {HANG_S} s"
        time.sleep(pause_s)
    return value
