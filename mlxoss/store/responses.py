"""Responses as rows: written, replaced, read, chained, deleted.

Functions of this module run inside a transaction on one of the store's threads.
"""

from __future__ import annotations

import datetime
import sqlite3
from collections.abc import Callable
from dataclasses import replace

from mlxoss.errors import NotFound
from mlxoss.store.contents import insert_contents, refuse_duplicates
from mlxoss.store.events import insert_events, next_sequence
from mlxoss.store.lookup import Contents, read_contents
from mlxoss.store.values import ChainLink, Failure, Status, StoredResponse

INPUT_ITEMS = (
    "SELECT id, json, position AS place FROM items WHERE response_id = :owner AND NOT is_output"
)
"""The rows of a response's input, for ``read_page``."""

_COLUMNS = "id, created_at, status, date, object, previous_id, conversation_id, background, stored"


_ONE = "WITH chain (id) AS (SELECT :id)"

# UNION, not UNION ALL: it ends even if damage has made the links go round.
_CHAIN = """
WITH RECURSIVE chain (id, previous_id, status, date) AS (
    SELECT id, previous_id, status, date FROM responses WHERE id = :id
    UNION
    SELECT r.id, r.previous_id, r.status, r.date
    FROM responses AS r JOIN chain ON r.id = chain.previous_id
)"""


def insert(
    connection: sqlite3.Connection, response: StoredResponse, now: float, unstored_s: float
) -> str:
    """Write a new response with all it holds; the id of its chain."""
    chain_id = _chain_of(connection, response.previous_response_id) or response.id
    connection.execute(
        "INSERT INTO chains VALUES (:id, :now) "
        "ON CONFLICT (id) DO UPDATE SET used_at = excluded.used_at",
        {"id": chain_id, "now": now},
    )
    connection.execute(
        "INSERT INTO responses VALUES (NULL, :id, :chain_id, :previous_id, :conversation_id, "
        ":created_at, :ended_at, :expires_at, :status, :date, :background, :stored, 0, :object)",
        {"chain_id": chain_id, **_to_row(response, now, unstored_s)},
    )
    _insert_contents(connection, response, now)
    return chain_id


def update(
    connection: sqlite3.Connection, response: StoredResponse, now: float, unstored_s: float
) -> str | None:
    """Write a running response anew; the id of its chain, or ``None``.

    ``None`` means that there is nothing to replace: it was deleted or has ended.
    """
    changed = connection.execute(
        "UPDATE responses SET ended_at = :ended_at, expires_at = :expires_at, "
        "status = :status, object = :object WHERE id = :id AND ended_at IS NULL",
        _to_row(response, now, unstored_s),
    ).rowcount
    if not changed:
        return None
    connection.execute("DELETE FROM items WHERE response_id = ?", (response.id,))
    connection.execute("DELETE FROM turns WHERE response_id = ?", (response.id,))
    _insert_contents(connection, response, now)
    return _chain_of(connection, response.id)


def _to_row(response: StoredResponse, now: float, unstored_s: float) -> dict[str, object]:
    ended_at = now if response.status.ended else None
    return {
        "id": response.id,
        "previous_id": response.previous_response_id,
        "conversation_id": response.conversation_id,
        "created_at": response.created_at,
        "ended_at": ended_at,
        "expires_at": None if ended_at is None or response.stored else ended_at + unstored_s,
        "status": response.status.value,
        "date": response.date.isoformat(),
        "background": response.background,
        "stored": response.stored,
        "object": response.object_json,
    }


def _insert_contents(connection: sqlite3.Connection, response: StoredResponse, now: float) -> None:
    """Items and turns; an answered response's join its conversation too, if that is there."""
    joined = None
    if response.status.answered and response.conversation_id is not None:
        joined = _enter_conversation(connection, response, response.conversation_id, now)
    insert_contents(connection, response, joined, now)


def _enter_conversation(
    connection: sqlite3.Connection, response: StoredResponse, conversation_id: str, now: float
) -> str | None:
    changed = connection.execute(
        "UPDATE conversations SET used_at = ?, date = coalesce(date, ?) WHERE id = ?",
        (now, response.date.isoformat(), conversation_id),
    ).rowcount
    if not changed:
        return None
    items = (*response.input_items, *response.output_items)
    refuse_duplicates(connection, conversation_id, items, "input")
    return conversation_id


def _chain_of(connection: sqlite3.Connection, response_id: str | None) -> str | None:
    row = connection.execute(
        "SELECT chain_id FROM responses WHERE id = ?", (response_id,)
    ).fetchone()
    return None if row is None else str(row[0])


def read(connection: sqlite3.Connection, response_id: str) -> StoredResponse:
    """One response, whole; ``NotFound`` if there is none."""
    row = connection.execute(
        f"SELECT {_COLUMNS} FROM responses WHERE id = ?", (response_id,)
    ).fetchone()
    if row is None:
        raise _unknown(response_id)
    _, created_at, status, date, object_json, previous_id, conversation_id, *flags = row
    contents = read_contents(connection, _ONE, response_id)[response_id]
    background, stored = map(bool, flags)
    return StoredResponse(
        id=response_id,
        created_at=created_at,
        status=Status(status),
        date=datetime.date.fromisoformat(date),
        object_json=object_json,
        input_items=tuple(contents.inputs),
        output_items=tuple(contents.outputs),
        turns=tuple(contents.turns),
        previous_response_id=previous_id,
        conversation_id=conversation_id,
        background=background,
        stored=stored,
    )


def read_chain(connection: sqlite3.Connection, response_id: str) -> tuple[ChainLink, ...]:
    """``response_id`` and all before it, the first one first.

    Raises ``NotFound`` (``previous_response_not_found``) if it or one before it has
    gone: half a conversation would be another one.
    """
    rows = {
        row[0]: row
        for row in connection.execute(
            f"{_CHAIN} SELECT id, previous_id, status, date FROM chain", {"id": response_id}
        )
    }
    contents = read_contents(connection, _CHAIN, response_id)
    links: list[ChainLink] = []
    link_id: str | None = response_id
    while link_id is not None:
        row = rows.pop(link_id, None)
        if row is None:
            raise _broken_chain(link_id)
        link, link_id = _to_link(row, contents[link_id]), row[1]
        links.append(link)
    return tuple(reversed(links))


def _to_link(row: tuple[str, str | None, str, str], contents: Contents) -> ChainLink:
    response_id, _, status, date = row
    return ChainLink(
        response_id=response_id,
        status=Status(status),
        date=datetime.date.fromisoformat(date),
        input_items=tuple(contents.inputs),
        output_items=tuple(contents.outputs),
        turns=tuple(contents.turns),
    )


def _broken_chain(missing_id: str) -> NotFound:
    return NotFound(
        f"Previous response with id '{missing_id}' not found.",
        param="previous_response_id",
        code="previous_response_not_found",
    )


def delete(connection: sqlite3.Connection, response_id: str) -> None:
    """Remove one response; ``NotFound`` if there is none. Its conversation keeps its items."""
    chain_id = _chain_of(connection, response_id)
    if chain_id is None:
        raise _unknown(response_id)
    connection.execute("DELETE FROM responses WHERE id = ?", (response_id,))
    connection.execute(
        "DELETE FROM chains WHERE id = :id "
        "AND NOT EXISTS (SELECT 1 FROM responses WHERE chain_id = :id)",
        {"id": chain_id},
    )


def fail_running(
    connection: sqlite3.Connection,
    to_failed: Callable[[StoredResponse, int], Failure],
    now: float,
    unstored_s: float,
) -> tuple[str, ...]:
    """Fail every response that has not ended; their ids, oldest first.

    ``to_failed`` gets the response and the number its next event would have.
    """
    running = connection.execute(
        "SELECT id FROM responses WHERE ended_at IS NULL ORDER BY row"
    ).fetchall()
    for (response_id,) in running:
        response = read(connection, response_id)
        failure = to_failed(response, next_sequence(connection, response_id))
        if failure.event is not None:
            insert_events(connection, response_id, (failure.event,))
        failed = replace(response, status=Status.FAILED, object_json=failure.object_json)
        update(connection, failed, now, unstored_s)
    return tuple(response_id for (response_id,) in running)


def require(connection: sqlite3.Connection, response_id: str) -> None:
    """Raise ``NotFound`` unless the response is there."""
    if _chain_of(connection, response_id) is None:
        raise _unknown(response_id)


def _unknown(response_id: str) -> NotFound:
    return NotFound(
        f"Response with id '{response_id}' not found.",
        param="response_id",
        code="response_not_found",
    )
