"""Items and turns read back: of a response, of a chain, by id, by call, in pages.

Functions of this module run inside a transaction on one of the store's threads.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlxoss.errors import NotFound
from mlxoss.store.packing import unpack_text, unpack_token_ids
from mlxoss.store.values import (
    History,
    Order,
    Page,
    PageRequest,
    StoredItem,
    StoredResult,
    StoredTurn,
)

ItemRow = tuple[str, str, int | None]
"""An item's id, its JSON text and its turn's row."""


@dataclass(slots=True)
class Contents:
    """What one response holds, in order."""

    inputs: list[StoredItem] = field(default_factory=list)
    outputs: list[StoredItem] = field(default_factory=list)
    turns: list[StoredTurn] = field(default_factory=list)


def read_contents(
    connection: sqlite3.Connection, scope: str, response_id: str
) -> defaultdict[str, Contents]:
    """The contents of every response in ``scope``, by response id.

    ``scope`` is a ``WITH`` clause over ``:id`` that defines ``chain (id, …)``. The
    number of queries does not grow with the number of responses.
    """
    contents: defaultdict[str, Contents] = defaultdict(Contents)
    item_ids: defaultdict[int, list[str]] = defaultdict(list)
    call_ids: defaultdict[int, list[str]] = defaultdict(list)
    results: defaultdict[int, list[StoredResult]] = defaultdict(list)
    key = {"id": response_id}
    for owner, is_output, item_id, json, turn_row in connection.execute(
        f"{scope} SELECT response_id, is_output, id, json, turn_row FROM items "
        "WHERE response_id IN (SELECT id FROM chain) ORDER BY response_id, is_output, position",
        key,
    ):
        side = contents[owner].outputs if is_output else contents[owner].inputs
        side.append(StoredItem(item_id, json))
        if turn_row is not None:
            item_ids[turn_row].append(item_id)
    for turn_row, call_id in connection.execute(
        f"{scope} SELECT turn_row, calls.id FROM turns JOIN calls ON turn_row = row "
        "WHERE response_id IN (SELECT id FROM chain) ORDER BY turn_row, position",
        key,
    ):
        call_ids[turn_row].append(call_id)
    for turn_row, *fields in connection.execute(
        f"{scope} SELECT turn_row, call_id, author, channel, text FROM turns "
        "JOIN results ON turn_row = turns.row "
        "WHERE response_id IN (SELECT id FROM chain) ORDER BY results.row",
        key,
    ):
        results[turn_row].append(_to_result(fields))
    for owner, row, blob in connection.execute(
        f"{scope} SELECT response_id, row, token_ids FROM turns "
        "WHERE response_id IN (SELECT id FROM chain) ORDER BY row",
        key,
    ):
        turn = StoredTurn(
            unpack_token_ids(blob),
            tuple(item_ids[row]),
            tuple(call_ids[row]),
            tuple(results[row]),
        )
        contents[owner].turns.append(turn)
    return contents


def _to_result(fields: Sequence[Any]) -> StoredResult:
    call_id, author, channel, text = fields
    return StoredResult(call_id, author, unpack_text(text), channel)


def read_page(connection: sqlite3.Connection, rows: str, owner: str, request: PageRequest) -> Page:
    """One page of the items that ``rows`` selects.

    ``rows`` is a sub-select over ``:owner`` with the columns ``id``, ``json`` and
    ``place``. An ``after`` that is not among them raises ``NotFound``.
    """
    parameters: dict[str, object] = {"owner": owner, "count": request.limit + 1}
    where = ""
    if request.after is not None:
        parameters["place"] = _place_of(connection, rows, owner, request.after)
        where = f"WHERE place {'>' if request.order is Order.ASC else '<'} :place"
    found = connection.execute(
        f"SELECT id, json FROM ({rows}) {where} ORDER BY place {request.order} LIMIT :count",
        parameters,
    ).fetchall()
    items = tuple(StoredItem(*row) for row in found[: request.limit])
    return Page(items, has_more=len(found) > request.limit)


def _place_of(connection: sqlite3.Connection, rows: str, owner: str, item_id: str) -> int:
    found = connection.execute(
        f"SELECT place FROM ({rows}) WHERE id = :id", {"owner": owner, "id": item_id}
    ).fetchone()
    if found is None:
        raise NotFound(f"Item with id '{item_id}' not found.", param="after", code="item_not_found")
    place = found[0]
    assert isinstance(place, int)
    return place


def find_items(connection: sqlite3.Connection, item_ids: Sequence[str]) -> History:
    """The named items in the order given.

    An id that several responses carry (a client sent it again) means the one that
    the model wrote, else the newest. An unknown one raises ``NotFound``.
    """
    rows: list[ItemRow] = []
    for item_id in item_ids:
        row = connection.execute(
            "SELECT id, json, turn_row FROM items WHERE id = ? "
            "ORDER BY turn_row IS NULL, row DESC LIMIT 1",
            (item_id,),
        ).fetchone()
        if row is None:
            raise NotFound(
                f"Item with id '{item_id}' not found.", param="input", code="item_not_found"
            )
        rows.append(row)
    return to_history(connection, rows)


def to_history(connection: sqlite3.Connection, rows: Sequence[ItemRow]) -> History:
    """Items with their turns, in the order in which the turns first appear.

    A turn of which an item is missing is left out: its ids would bring that back.
    """
    present = {item_id for item_id, _, _ in rows}
    turn_rows = dict.fromkeys(row for _, _, row in rows if row is not None)
    turns = [read_turn(connection, row) for row in turn_rows]
    return History(
        items=tuple(StoredItem(item_id, json) for item_id, json, _ in rows),
        turns=tuple(turn for turn in turns if turn and present.issuperset(turn.item_ids)),
    )


def read_turn(connection: sqlite3.Connection, row: int) -> StoredTurn | None:
    """One turn, or ``None`` if an item of it has been deleted."""
    item_count, blob = connection.execute(
        "SELECT item_count, token_ids FROM turns WHERE row = ?", (row,)
    ).fetchone()
    items = connection.execute(
        "SELECT id FROM items WHERE turn_row = ? ORDER BY position", (row,)
    ).fetchall()
    if len(items) != item_count:
        return None
    calls = connection.execute(
        "SELECT id FROM calls WHERE turn_row = ? ORDER BY position", (row,)
    ).fetchall()
    results = connection.execute(
        "SELECT call_id, author, channel, text FROM results WHERE turn_row = ? ORDER BY row", (row,)
    ).fetchall()
    return StoredTurn(
        token_ids=unpack_token_ids(blob),
        item_ids=tuple(item_id for (item_id,) in items),
        call_ids=tuple(call_id for (call_id,) in calls),
        results=tuple(map(_to_result, results)),
    )


def find_turns(connection: sqlite3.Connection, call_ids: Iterable[str]) -> dict[str, StoredTurn]:
    """The turns that made these calls, by call id; unknown calls are left out."""
    found: dict[str, StoredTurn] = {}
    turns: dict[int, StoredTurn | None] = {}
    for call_id in call_ids:
        row = connection.execute("SELECT turn_row FROM calls WHERE id = ?", (call_id,)).fetchone()
        if row is None:
            continue
        (turn_row,) = row
        if turn_row not in turns:
            turns[turn_row] = read_turn(connection, turn_row)
        turn = turns[turn_row]
        if turn is not None:
            found[call_id] = turn
    return found
