"""What goes out, and when: the bounds of the store.

The unit of keeping is a chain (every response that grew from one first response),
a conversation, or a remembered turn. Units go out whole, the one that was used
longest ago first, so that a chain in use stays readable from its beginning. Only
when one chain alone exceeds a bound do its oldest responses go one by one:
going on from it then answers ``previous_response_not_found``, while its newest
responses can still be fetched. Chains with a response that has not ended, and the
conversation being written to, stay.

Functions of this module run inside a transaction on one of the store's threads.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from mlxoss.errors import StoreFull
from mlxoss.store.values import Bounds, Stats

_SWEEP_ROWS = 100
"""How much of each kind one step of expiry removes, so that writers wait little for it."""

_IDLE = "NOT EXISTS (SELECT 1 FROM responses WHERE chain_id = chains.id AND ended_at IS NULL)"


@dataclass(frozen=True, slots=True)
class Writing:
    """What is being written now, and must not make room for itself by going."""

    response_id: str | None = None
    chain_id: str | None = None
    conversation_id: str | None = None


@dataclass(frozen=True, slots=True)
class _Kind:
    """One kind of unit: how many there are, which is the oldest, how to remove it."""

    count: str
    oldest: str
    remove: str


_CHAINS = _Kind(
    count="SELECT count(*) FROM responses",
    oldest=f"SELECT id, used_at FROM chains WHERE id IS NOT :chain_id AND {_IDLE} "
    "ORDER BY used_at LIMIT 1",
    remove="DELETE FROM chains WHERE id = ?",
)
_CONVERSATIONS = _Kind(
    count="SELECT count(*) FROM conversations",
    oldest="SELECT id, used_at FROM conversations WHERE id IS NOT :conversation_id "
    "ORDER BY used_at LIMIT 1",
    remove="DELETE FROM conversations WHERE id = ?",
)
_REMEMBERED = _Kind(
    count="SELECT count(*) FROM turns WHERE remembered",
    oldest="SELECT row, created_at FROM turns WHERE remembered ORDER BY created_at LIMIT 1",
    remove="DELETE FROM turns WHERE row = ?",
)
_LINKS = _Kind(
    count=_CHAINS.count,
    oldest="SELECT id, 0.0 FROM responses WHERE chain_id = :chain_id "
    "AND id IS NOT :response_id AND ended_at IS NOT NULL ORDER BY row LIMIT 1",
    remove="DELETE FROM responses WHERE id = ?",
)
"""The responses of the chain being written: the last resort."""

_USES = (
    ("chains", "used_at", "TRUE"),
    ("conversations", "used_at", "TRUE"),
    ("turns", "created_at", "remembered"),
)
"""Table, column and rows of the times by which units go."""

_BOUNDED = ((_CHAINS, _LINKS), (_CONVERSATIONS,), (_REMEMBERED,))


def make_room(connection: sqlite3.Connection, bounds: Bounds, writing: Writing) -> None:
    """Remove the oldest until every bound holds; ``StoreFull`` if that cannot be."""
    for kinds in _BOUNDED:
        surplus = _count(connection, kinds[0]) - bounds.max_items
        while surplus > 0:
            _remove_oldest(connection, kinds, writing)
            surplus = _count(connection, kinds[0]) - bounds.max_items
    while used_bytes(connection) > bounds.max_bytes:
        _remove_oldest(connection, (_CHAINS, _CONVERSATIONS, _REMEMBERED, _LINKS), writing)


def _count(connection: sqlite3.Connection, kind: _Kind) -> int:
    (count,) = connection.execute(kind.count).fetchone()
    assert isinstance(count, int)
    return count


def _remove_oldest(
    connection: sqlite3.Connection, kinds: tuple[_Kind, ...], writing: Writing
) -> None:
    """Remove one unit: the oldest of ``kinds``, but of ``_LINKS`` only if nothing else is left."""
    parameters = {
        "response_id": writing.response_id,
        "chain_id": writing.chain_id,
        "conversation_id": writing.conversation_id,
    }
    oldest: list[tuple[bool, float, object, _Kind]] = []
    for kind in kinds:
        row = connection.execute(kind.oldest, parameters).fetchone()
        if row is not None:
            oldest.append((kind is _LINKS, row[1], row[0], kind))
    if not oldest:
        raise StoreFull("This does not fit within the bounds of the response store.")
    *_, key, kind = min(oldest, key=lambda unit: unit[:2])
    connection.execute(kind.remove, (key,))


def settle_times(connection: sqlite3.Connection, bounds: Bounds, now: float) -> None:
    """Bring times that lie ahead back before ``now``, in their order: the clock was set back.

    Else what is kept from here on would count as older than all that was before, and that
    would stay for longer than it should.
    """
    for table, column, which in _USES:
        connection.execute(
            f"UPDATE {table} SET {column} = {column} + :now - 0.001 - "
            f"(SELECT max({column}) FROM {table} WHERE {which}) WHERE {which} AND {column} > :now",
            {"now": now},
        )
    for column, which, latest in (
        ("ended_at", "background AND NOT events_dropped", now),
        ("expires_at", "expires_at IS NOT NULL", now + bounds.unstored_s),
    ):
        connection.execute(
            f"UPDATE responses SET {column} = :latest WHERE {which} AND {column} > :latest",
            {"latest": latest},
        )


def expire(connection: sqlite3.Connection, bounds: Bounds, now: float) -> bool:
    """Remove some of what is past its time; whether there may be more."""
    old = now - bounds.max_age_s
    steps = (
        (
            f"DELETE FROM chains WHERE id IN (SELECT id FROM chains WHERE used_at <= ? AND {_IDLE}"
            " LIMIT ?)",
            old,
        ),
        (
            "DELETE FROM turns WHERE row IN (SELECT row FROM turns WHERE remembered "
            "AND created_at <= ? LIMIT ?)",
            old,
        ),
        (
            "DELETE FROM responses WHERE row IN (SELECT row FROM responses "
            "WHERE expires_at <= ? LIMIT ?)",
            now,
        ),
    )
    most = max(connection.execute(sql, (time, _SWEEP_ROWS)).rowcount for sql, time in steps)
    _drop_events(connection, now - bounds.events_s)
    connection.execute(
        "DELETE FROM chains WHERE NOT EXISTS (SELECT 1 FROM responses WHERE chain_id = chains.id)"
    )
    return most == _SWEEP_ROWS


def _drop_events(connection: sqlite3.Connection, before: float) -> None:
    done = connection.execute(
        "UPDATE responses SET events_dropped = 1 "
        "WHERE background AND NOT events_dropped AND ended_at <= ? RETURNING id",
        (before,),
    ).fetchall()
    connection.executemany("DELETE FROM events WHERE response_id = ?", done)


def give_back(connection: sqlite3.Connection, pages: int) -> bool:
    """Cut up to ``pages`` free pages off the file; whether another call can cut more.

    It cannot in a file that was made without ``auto_vacuum`` (rebuilt by hand, say).
    """
    before = _pragma(connection, "freelist_count")
    connection.execute(f"PRAGMA incremental_vacuum({pages})").fetchall()
    return 0 < _pragma(connection, "freelist_count") < before


def read_stats(connection: sqlite3.Connection) -> Stats:
    """How much is kept now."""
    return Stats(
        responses=_count(connection, _CHAINS),
        conversations=_count(connection, _CONVERSATIONS),
        remembered_turns=_count(connection, _REMEMBERED),
        bytes=used_bytes(connection),
    )


def used_bytes(connection: sqlite3.Connection) -> int:
    """The pages in use, in bytes, as the transaction leaves them."""
    pages = _pragma(connection, "page_count") - _pragma(connection, "freelist_count")
    return pages * _pragma(connection, "page_size")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    (value,) = connection.execute(f"PRAGMA {name}").fetchone()
    assert isinstance(value, int)
    return value
