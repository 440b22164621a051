"""The schema, as the list of steps that lead to it.

Append only: a step that has been released is never edited, since databases made
by it exist. A step is named once and for ever; its name is recorded in the
database, and a recorded name that is not in the list means a newer mlxoss.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

APPLICATION_ID = 0x6D6C786F
"""``mlxo``: tells our files from other programs' (``PRAGMA application_id``)."""


@dataclass(frozen=True, slots=True)
class Migration:
    """A step: its recorded name and its SQL statements."""

    name: str
    statements: tuple[str, ...]


# A chain is all responses that grew from one first response. It is the unit of
# keeping: it goes out whole, by the time of its last response. `previous_id` and
# `conversation_id` are no foreign keys, because what they name may be deleted first.
_RESPONSES = (
    """CREATE TABLE chains (
        id TEXT PRIMARY KEY,
        used_at REAL NOT NULL
    ) WITHOUT ROWID""",
    "CREATE INDEX chains_by_use ON chains (used_at)",
    """CREATE TABLE responses (
        row INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        chain_id TEXT NOT NULL REFERENCES chains (id) ON DELETE CASCADE,
        previous_id TEXT,
        conversation_id TEXT,
        created_at INTEGER NOT NULL,
        ended_at REAL,
        expires_at REAL,
        status TEXT NOT NULL,
        date TEXT NOT NULL,
        background INTEGER NOT NULL,
        stored INTEGER NOT NULL,
        events_dropped INTEGER NOT NULL DEFAULT 0,
        object TEXT NOT NULL
    )""",
    "CREATE INDEX responses_of_chain ON responses (chain_id)",
    "CREATE INDEX responses_running ON responses (chain_id) WHERE ended_at IS NULL",
    "CREATE INDEX responses_by_expiry ON responses (expires_at) WHERE expires_at IS NOT NULL",
    """CREATE INDEX responses_with_events ON responses (ended_at)
        WHERE background AND NOT events_dropped""",
    """CREATE TABLE events (
        response_id TEXT NOT NULL REFERENCES responses (id) ON DELETE CASCADE,
        sequence INTEGER NOT NULL,
        json TEXT NOT NULL,
        PRIMARY KEY (response_id, sequence)
    ) WITHOUT ROWID""",
)

_CONVERSATIONS = (
    """CREATE TABLE conversations (
        row INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        created_at INTEGER NOT NULL,
        used_at REAL NOT NULL,
        date TEXT,
        metadata TEXT NOT NULL
    )""",
    "CREATE INDEX conversations_by_use ON conversations (used_at)",
)

# Items and turns belong to a response, a conversation or both, and go with the last
# owner: the triggers see to it, whether the owner is deleted by itself or with its
# chain. A remembered turn (chat completions) has no owner and goes by age.
_ITEMS = (
    """CREATE TABLE turns (
        row INTEGER PRIMARY KEY,
        response_id TEXT REFERENCES responses (id) ON DELETE SET NULL,
        conversation_id TEXT REFERENCES conversations (id) ON DELETE SET NULL,
        remembered INTEGER NOT NULL,
        created_at REAL NOT NULL,
        item_count INTEGER NOT NULL,
        token_ids BLOB NOT NULL
    )""",
    "CREATE INDEX turns_of_response ON turns (response_id)",
    "CREATE INDEX turns_of_conversation ON turns (conversation_id)",
    "CREATE INDEX turns_remembered ON turns (created_at) WHERE remembered",
    """CREATE TABLE calls (
        id TEXT PRIMARY KEY,
        turn_row INTEGER NOT NULL REFERENCES turns (row) ON DELETE CASCADE,
        position INTEGER NOT NULL
    ) WITHOUT ROWID""",
    "CREATE INDEX calls_of_turn ON calls (turn_row, position)",
    """CREATE TABLE items (
        row INTEGER PRIMARY KEY,
        id TEXT NOT NULL,
        response_id TEXT REFERENCES responses (id) ON DELETE SET NULL,
        is_output INTEGER NOT NULL,
        position INTEGER NOT NULL,
        conversation_id TEXT REFERENCES conversations (id) ON DELETE SET NULL,
        conversation_position INTEGER,
        turn_row INTEGER REFERENCES turns (row) ON DELETE SET NULL,
        json TEXT NOT NULL
    )""",
    "CREATE INDEX items_by_id ON items (id)",
    "CREATE UNIQUE INDEX items_of_response ON items (response_id, is_output, position)",
    "CREATE UNIQUE INDEX items_of_conversation ON items (conversation_id, conversation_position)",
    "CREATE INDEX items_of_turn ON items (turn_row) WHERE turn_row IS NOT NULL",
    """CREATE TRIGGER response_takes_what_it_owns BEFORE DELETE ON responses BEGIN
        DELETE FROM items WHERE response_id = OLD.id AND conversation_id IS NULL;
        DELETE FROM turns WHERE response_id = OLD.id AND conversation_id IS NULL;
    END""",
    """CREATE TRIGGER conversation_takes_what_it_owns BEFORE DELETE ON conversations BEGIN
        DELETE FROM items WHERE conversation_id = OLD.id AND response_id IS NULL;
        DELETE FROM turns WHERE conversation_id = OLD.id AND response_id IS NULL;
    END""",
)

# Numbers alone: of a client its name from a short list, or that of its key.
_USAGE = (
    """CREATE TABLE usage (
        day TEXT NOT NULL,
        client TEXT NOT NULL,
        endpoint TEXT NOT NULL,
        requests INTEGER NOT NULL,
        input_tokens INTEGER NOT NULL,
        cached_tokens INTEGER NOT NULL,
        output_tokens INTEGER NOT NULL,
        reasoning_tokens INTEGER NOT NULL,
        PRIMARY KEY (day, client, endpoint)
    ) WITHOUT ROWID""",
)

# What calls that the server ran answered: words that no item holds, since the model reads more than
# the client is shown.
_RESULTS = (
    """CREATE TABLE results (
        row INTEGER PRIMARY KEY,
        turn_row INTEGER NOT NULL REFERENCES turns (row) ON DELETE CASCADE,
        call_id TEXT NOT NULL,
        author TEXT NOT NULL,
        channel TEXT,
        text BLOB NOT NULL
    )""",
    "CREATE INDEX results_of_turn ON results (turn_row)",
)

MIGRATIONS: tuple[Migration, ...] = (
    Migration("001_responses", _RESPONSES),
    Migration("002_conversations", _CONVERSATIONS),
    Migration("003_items_and_turns", _ITEMS),
    Migration("004_usage", _USAGE),
    Migration("005_results", _RESULTS),
)


def migrate(connection: sqlite3.Connection, migrations: Sequence[Migration], now: float) -> None:
    """Take the missing steps, all or none.

    ``connection`` is in no transaction. When a step raises, it is left in one:
    close it, and nothing has happened.
    """
    connection.execute("BEGIN IMMEDIATE")
    _take_missing_steps(connection, migrations, now)
    connection.execute("COMMIT")


def _take_missing_steps(
    connection: sqlite3.Connection, migrations: Sequence[Migration], now: float
) -> None:
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS migrations (name TEXT PRIMARY KEY, applied_at REAL NOT NULL)"
    )
    taken = set(taken_steps(connection))
    for migration in migrations:
        if migration.name in taken:
            continue
        for statement in migration.statements:
            connection.execute(statement)
        connection.execute("INSERT INTO migrations VALUES (?, ?)", (migration.name, now))


def taken_steps(connection: sqlite3.Connection) -> list[str]:
    """The recorded names, in the order they were taken."""
    return [name for (name,) in connection.execute("SELECT name FROM migrations ORDER BY rowid")]


def touch(connection: sqlite3.Connection) -> None:
    """Write something that changes nothing."""
    connection.execute("UPDATE migrations SET applied_at = applied_at")
