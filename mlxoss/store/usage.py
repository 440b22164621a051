"""What was asked and answered by day and client, in numbers alone.

Functions of this module run inside a transaction on one of the store's threads.
"""

from __future__ import annotations

import datetime
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import astuple
from pathlib import Path

from mlxoss.store.failures import store_errors
from mlxoss.store.file import connect_reader
from mlxoss.store.values import TokenCounts, UsageKey, UsageRow

KEPT_DAYS = 400
"""A year, and the same month of the year before."""

_COUNTS = ("requests", "input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")


def add(connection: sqlite3.Connection, rows: Iterable[UsageRow]) -> None:
    """Add to what is counted already."""
    sums = ", ".join(f"{name} = {name} + excluded.{name}" for name in _COUNTS)
    connection.executemany(
        f"INSERT INTO usage VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
        f"ON CONFLICT (day, client, endpoint) DO UPDATE SET {sums}",
        [(*row.key, *astuple(row.counts)) for row in rows],
    )


def read(connection: sqlite3.Connection, first_day: str) -> tuple[UsageRow, ...]:
    """All from ``first_day`` on (``YYYY-MM-DD``), sorted."""
    found = connection.execute(
        f"SELECT day, client, endpoint, {', '.join(_COUNTS)} FROM usage WHERE day >= ? "
        "ORDER BY day, client, endpoint",
        (first_day,),
    )
    return tuple(UsageRow(UsageKey(*row[:3]), TokenCounts(*row[3:])) for row in found)


def forget(connection: sqlite3.Connection, now: float) -> None:
    """Remove the days that are past their time; ``now`` is a Unix time."""
    connection.execute("DELETE FROM usage WHERE day < ?", (first_day(now, KEPT_DAYS),))


def first_day(now: float, days: int) -> str:
    """The first of the last ``days`` days in local time, ``now``'s among them."""
    today = datetime.datetime.fromtimestamp(now).date()
    return (today - datetime.timedelta(days=days - 1)).isoformat()


def read_file(path: Path, from_day: str) -> tuple[UsageRow, ...]:
    """As ``read``, from a database that no daemon need have open.

    Raises StoreError where it cannot be read; one of before these counts has none.
    """
    with store_errors(str(path)), closing(connect_reader(path)) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'usage'").fetchall():
            return ()
        return read(connection, from_day)
