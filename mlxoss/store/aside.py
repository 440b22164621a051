"""Damaged databases: moved aside whole, with the date, and kept until the owner removes them."""

from __future__ import annotations

import time
from pathlib import Path

from mlxoss.findings import DaemonProblem

SUFFIXES = ("", "-wal", "-shm")
"""Of a database's files: itself, its write-ahead log and that one's index."""

_MARK = ".damaged-"


def move_aside(path: Path, now: float) -> Path:
    """Rename the database ``path`` and its logs; return its new name, which says when.

    The logs keep their names' endings, so that SQLite's own tools find them. Raises ``OSError``.
    """
    day = time.strftime("%Y-%m-%dT%H%M%SZ", time.gmtime(now))
    aside, number = path.with_name(f"{path.name}{_MARK}{day}"), 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}{_MARK}{day}-{number}")
    for suffix in SUFFIXES:
        file = path.with_name(path.name + suffix)
        if file.exists():
            file.rename(aside.with_name(aside.name + suffix))
    return aside


def find_aside(path: Path) -> list[Path]:
    """All files of databases that were moved aside from ``path``, the oldest first."""
    return sorted(path.parent.glob(f"{path.name}{_MARK}*"))


def aside_problem(path: Path) -> DaemonProblem | None:
    """What the owner is told as long as one of them is there."""
    found = [file for file in find_aside(path) if not file.name.endswith(SUFFIXES[1:])]
    if not found:
        return None
    last = found[-1]
    return DaemonProblem(
        "store_moved_aside",
        f"The response store was damaged: it was moved to {last}, and a new one made.",
        f"`sqlite3 {last} .recover` may bring back what it holds; remove it, or "
        "`mlxoss store clear` removes everything.",
        last.stat().st_ctime,
    )
