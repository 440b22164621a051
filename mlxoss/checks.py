"""What a check of a set-up found, for the commands that check one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

OVERHEAD = 1.15
"""Weights in memory against their files, with a cache for a context of a few thousand tokens."""


class Level(StrEnum):
    """What a check found."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Check:
    """A check's name, what it found in one line, and what to do about it."""

    name: str
    level: Level
    detail: str
    remedy: str | None = None
