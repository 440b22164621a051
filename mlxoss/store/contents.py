"""Items and turns written as rows: the part that responses and conversations share.

A row of ``items`` or ``turns`` belongs to a response, a conversation or both, and
goes with the last of them. Functions of this module run inside a transaction on
one of the store's threads.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from mlxoss.errors import InvalidRequest
from mlxoss.store.packing import pack_text, pack_token_ids
from mlxoss.store.values import StoredItem, StoredResponse, StoredTurn


def insert_contents(
    connection: sqlite3.Connection,
    response: StoredResponse,
    conversation_id: str | None,
    now: float,
) -> None:
    """Write a response's items and turns; with ``conversation_id`` they join that too."""
    turn_of_item: dict[str, int] = {}
    for turn in response.turns:
        row = insert_turn(connection, turn, now, response.id, conversation_id)
        turn_of_item.update(dict.fromkeys(turn.item_ids, row))
    place = _next_position(connection, conversation_id)
    for is_output, items in enumerate((response.input_items, response.output_items)):
        for position, item in enumerate(items):
            joined = None if conversation_id is None else place
            turn_row = turn_of_item.get(item.id) if is_output else None
            connection.execute(
                "INSERT INTO items VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    item.id,
                    response.id,
                    is_output,
                    position,
                    conversation_id,
                    joined,
                    turn_row,
                    item.json,
                ),
            )
            place += 1


def insert_turn(
    connection: sqlite3.Connection,
    turn: StoredTurn,
    now: float,
    response_id: str | None = None,
    conversation_id: str | None = None,
) -> int:
    """Write one turn, its call ids and results; its row. Without an owner it is remembered."""
    cursor = connection.execute(
        "INSERT INTO turns VALUES (NULL, ?, ?, ?, ?, ?, ?)",
        (
            response_id,
            conversation_id,
            response_id is None,
            now,
            len(turn.item_ids),
            pack_token_ids(turn.token_ids),
        ),
    )
    row = cursor.lastrowid
    assert row is not None  # an INSERT always has one
    connection.executemany(
        "INSERT OR REPLACE INTO calls VALUES (?, ?, ?)",
        [(call_id, row, position) for position, call_id in enumerate(turn.call_ids)],
    )
    connection.executemany(
        "INSERT INTO results VALUES (NULL, ?, ?, ?, ?, ?)",
        [
            (row, result.call_id, result.author, result.channel, pack_text(result.text))
            for result in turn.results
        ],
    )
    return row


def append_to_conversation(
    connection: sqlite3.Connection, conversation_id: str, items: Sequence[StoredItem]
) -> None:
    """Write items that no response brought behind the conversation's last one."""
    place = _next_position(connection, conversation_id)
    connection.executemany(
        "INSERT INTO items VALUES (NULL, ?, NULL, 0, 0, ?, ?, NULL, ?)",
        [
            (item.id, conversation_id, position, item.json)
            for position, item in enumerate(items, start=place)
        ],
    )


def _next_position(connection: sqlite3.Connection, conversation_id: str | None) -> int:
    (position,) = connection.execute(
        "SELECT coalesce(max(conversation_position), -1) + 1 FROM items WHERE conversation_id = ?",
        (conversation_id,),
    ).fetchone()
    assert isinstance(position, int)
    return position


def refuse_duplicates(
    connection: sqlite3.Connection, conversation_id: str, items: Iterable[StoredItem], param: str
) -> None:
    """Raise ``InvalidRequest`` if an item is there already, or twice in ``items``."""
    seen: set[str] = set()
    for item in items:
        there = connection.execute(
            "SELECT 1 FROM items WHERE conversation_id = ? AND id = ?", (conversation_id, item.id)
        ).fetchone()
        if there or item.id in seen:
            raise InvalidRequest(
                f"Duplicate item found with id '{item.id}'. Remove duplicate items from your "
                "input and try again.",
                param=param,
            )
        seen.add(item.id)
