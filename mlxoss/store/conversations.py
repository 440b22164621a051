"""Conversations as rows.

Functions of this module run inside a transaction on one of the store's threads.
"""

from __future__ import annotations

import datetime
import sqlite3
from collections.abc import Sequence

from mlxoss.errors import NotFound
from mlxoss.store.contents import append_to_conversation, refuse_duplicates
from mlxoss.store.lookup import to_history
from mlxoss.store.values import History, StoredConversation, StoredItem

CONVERSATION_ITEMS = (
    "SELECT id, json, conversation_position AS place FROM items WHERE conversation_id = :owner"
)
"""The rows of a conversation's items, for ``read_page``."""

_HERE = "conversation_id = :conversation AND id = :item"
_EMPTY = (
    "conversation_id = :conversation AND NOT EXISTS "
    "(SELECT 1 FROM items WHERE turn_row = turns.row AND conversation_id = :conversation)"
)
_TAKE_OUT = (
    f"DELETE FROM items WHERE {_HERE} AND response_id IS NULL",
    f"UPDATE items SET conversation_id = NULL WHERE {_HERE}",
    f"DELETE FROM turns WHERE {_EMPTY} AND response_id IS NULL",
    f"UPDATE turns SET conversation_id = NULL WHERE {_EMPTY}",
)
"""Take an item, and the turn whose last item here it was, out of a conversation.

What a response owns too stays with that.
"""


def insert(
    connection: sqlite3.Connection,
    conversation: StoredConversation,
    items: Sequence[StoredItem],
    now: float,
) -> None:
    """Write a new conversation with its first items."""
    date = conversation.date and conversation.date.isoformat()
    connection.execute(
        "INSERT INTO conversations VALUES (NULL, ?, ?, ?, ?, ?)",
        (conversation.id, conversation.created_at, now, date, conversation.metadata_json),
    )
    _append(connection, conversation.id, items)


def append(
    connection: sqlite3.Connection, conversation_id: str, items: Sequence[StoredItem], now: float
) -> None:
    """Add items behind the last one; ``NotFound`` without the conversation."""
    changed = connection.execute(
        "UPDATE conversations SET used_at = ? WHERE id = ?", (now, conversation_id)
    ).rowcount
    if not changed:
        raise _unknown(conversation_id)
    _append(connection, conversation_id, items)


def _append(
    connection: sqlite3.Connection, conversation_id: str, items: Sequence[StoredItem]
) -> None:
    refuse_duplicates(connection, conversation_id, items, "items")
    append_to_conversation(connection, conversation_id, items)


def read(connection: sqlite3.Connection, conversation_id: str) -> StoredConversation:
    """The conversation without its items; ``NotFound`` if there is none."""
    row = connection.execute(
        "SELECT created_at, metadata, date FROM conversations WHERE id = ?", (conversation_id,)
    ).fetchone()
    if row is None:
        raise _unknown(conversation_id)
    created_at, metadata_json, date = row
    return StoredConversation(
        id=conversation_id,
        created_at=created_at,
        metadata_json=metadata_json,
        date=None if date is None else datetime.date.fromisoformat(date),
    )


def set_metadata(
    connection: sqlite3.Connection, conversation_id: str, metadata_json: str
) -> StoredConversation:
    """Replace the metadata; the conversation as it is now."""
    connection.execute(
        "UPDATE conversations SET metadata = ? WHERE id = ?", (metadata_json, conversation_id)
    )
    return read(connection, conversation_id)


def delete(connection: sqlite3.Connection, conversation_id: str) -> None:
    """Remove a conversation; ``NotFound`` if there is none. Its responses keep their items."""
    read(connection, conversation_id)
    connection.execute("DELETE FROM conversations WHERE id = ?", (conversation_id,))


def read_item(connection: sqlite3.Connection, conversation_id: str, item_id: str) -> StoredItem:
    """One item of a conversation; ``NotFound`` if either is not there."""
    read(connection, conversation_id)
    row = connection.execute(
        "SELECT json FROM items WHERE conversation_id = ? AND id = ?", (conversation_id, item_id)
    ).fetchone()
    if row is None:
        raise NotFound(
            f"Item with id '{item_id}' not found.", param="item_id", code="item_not_found"
        )
    return StoredItem(item_id, row[0])


def delete_item(
    connection: sqlite3.Connection, conversation_id: str, item_id: str
) -> StoredConversation:
    """Take one item out; the conversation it is missing from. ``NotFound`` as ``read_item``."""
    read_item(connection, conversation_id, item_id)
    key = {"conversation": conversation_id, "item": item_id}
    for statement in _TAKE_OUT:
        connection.execute(statement, key)
    return read(connection, conversation_id)


def read_history(connection: sqlite3.Connection, conversation_id: str) -> History:
    """All items, oldest first, with the turns that are whole; ``NotFound`` without the thing."""
    read(connection, conversation_id)
    rows = connection.execute(
        "SELECT id, json, turn_row FROM items WHERE conversation_id = ? "
        "ORDER BY conversation_position",
        (conversation_id,),
    ).fetchall()
    return to_history(connection, rows)


def _unknown(conversation_id: str) -> NotFound:
    return NotFound(
        f"Conversation with id '{conversation_id}' not found.",
        param="conversation_id",
        code="conversation_not_found",
    )
