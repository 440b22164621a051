"""The streamed events of background responses as rows, for replay.

Functions of this module run inside a transaction on one of the store's threads.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from mlxoss.store.values import Event, EventPage, Status


def append_events(
    connection: sqlite3.Connection, response_id: str, events: Sequence[Event]
) -> bool:
    """Write events of a running response; ``False`` if it is gone or has ended."""
    running = connection.execute(
        "SELECT 1 FROM responses WHERE id = ? AND ended_at IS NULL", (response_id,)
    ).fetchone()
    if running is None:
        return False
    insert_events(connection, response_id, events)
    return True


def insert_events(
    connection: sqlite3.Connection, response_id: str, events: Sequence[Event]
) -> None:
    """Write events of a response that is there."""
    connection.executemany(
        "INSERT INTO events VALUES (?, ?, ?)",
        [(response_id, event.sequence, event.json) for event in events],
    )


def next_sequence(connection: sqlite3.Connection, response_id: str) -> int:
    """The number after the last kept event's; 0 if there is none."""
    (sequence,) = connection.execute(
        "SELECT coalesce(max(sequence), -1) + 1 FROM events WHERE response_id = ?", (response_id,)
    ).fetchone()
    assert isinstance(sequence, int)
    return sequence


def read_events(
    connection: sqlite3.Connection, response_id: str, after: int, limit: int
) -> EventPage:
    """The first ``limit`` events behind ``after`` of a response that is there."""
    status, dropped = connection.execute(
        "SELECT status, events_dropped FROM responses WHERE id = ?", (response_id,)
    ).fetchone()
    found = connection.execute(
        "SELECT sequence, json FROM events WHERE response_id = ? AND sequence > ? "
        "ORDER BY sequence LIMIT ?",
        (response_id, after, limit + 1),
    ).fetchall()
    return EventPage(
        events=tuple(Event(*event) for event in found[:limit]),
        status=Status(status),
        has_more=len(found) > limit,
        dropped=bool(dropped),
    )
