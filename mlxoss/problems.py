"""What is wrong although the daemon serves: told in ``/health`` and by ``mlxoss status``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that the owner should know of, and may mend.

    ``code`` is a word for programs, ``message`` and ``remedy`` are sentences for people, without
    anybody's words or keys; ``since`` is a Unix time in seconds.
    """

    code: str
    message: str
    remedy: str
    since: float
