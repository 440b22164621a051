"""What was found out about a set-up: by a command that checks it, or by the daemon that runs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

GB = 1_000_000_000

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


@dataclass(frozen=True, slots=True)
class DaemonProblem:
    """What is wrong although the daemon serves: told in ``/health`` and by ``mlxoss status``.

    ``code`` is a word for programs, ``message`` and ``remedy`` are sentences for people, without
    anybody's words or keys; ``since`` is a Unix time in seconds.
    """

    code: str
    message: str
    remedy: str
    since: float
