"""Values to keep, and a store to keep them in, for the tests of the store."""

from __future__ import annotations

import datetime
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

from mlxoss.store.opening import open_memory_store, open_store
from mlxoss.store.store import Store
from mlxoss.store.values import Bounds, Status, StoredItem, StoredResponse, StoredTurn
from tests.support.clock import Clock

TODAY = datetime.date(2026, 1, 2)


@asynccontextmanager
async def opened(
    path: Path | None,
    bounds: Bounds | None = None,
    clock: Clock | None = None,
    steady: Clock | None = None,
) -> AsyncIterator[Store]:
    """An open store, closed at the end. Without ``steady`` time passes as ``clock`` says."""
    bounds, clock = bounds or Bounds(), clock or Clock()
    clocks = clock, steady or clock
    store = open_store(path, bounds, *clocks) if path else open_memory_store(bounds, *clocks)
    try:
        yield store
    finally:
        await store.close()


def item(item_id: str, text: str = "") -> StoredItem:
    return StoredItem(item_id, json.dumps({"id": item_id, "text": text}))


def sample(
    name: str,
    previous: str | None = None,
    conversation: str | None = None,
    status: Status = Status.COMPLETED,
    text: str = "",
) -> StoredResponse:
    """A response with a user message in and one turn of reasoning and a call out."""
    outputs = (item(f"rs_{name}", text), item(f"fc_{name}"))
    turn = StoredTurn(
        token_ids=(*range(200_000, 200_000 + len(name)), 200_012),
        item_ids=(f"rs_{name}", f"fc_{name}"),
        call_ids=(f"call_{name}",),
    )
    return StoredResponse(
        id=f"resp_{name}",
        created_at=1_000_000,
        status=status,
        date=TODAY,
        object_json=json.dumps({"id": f"resp_{name}", "status": status}),
        input_items=(item(f"msg_{name}", text),),
        output_items=outputs if status.ended else (),
        turns=(turn,) if status.ended else (),
        previous_response_id=previous and f"resp_{previous}",
        conversation_id=conversation,
        background=not status.ended,
    )


def assert_sound(path: Path) -> None:
    """SQLite finds nothing wrong with a closed database, and no row is without an owner."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        for table, rows in (
            ("items", "response_id IS NULL AND conversation_id IS NULL"),
            ("turns", "response_id IS NULL AND conversation_id IS NULL AND NOT remembered"),
            ("chains", "NOT EXISTS (SELECT 1 FROM responses WHERE chain_id = chains.id)"),
            ("responses", "status IN ('queued', 'in_progress') IS NOT (ended_at IS NULL)"),
        ):
            found = connection.execute(f"SELECT count(*) FROM {table} WHERE {rows}").fetchone()
            assert found == (0,), f"{table}: {rows}"
