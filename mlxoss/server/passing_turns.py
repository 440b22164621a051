"""Turns of responses with ``store: false``, kept in memory while their loop may go on.

Their client sends the calls back, and gets the turn back to the token. Nothing of them
is on the disk; the oldest go first, and all of them with the process.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from mlxoss.api.items import Item
from mlxoss.api.items_prompt import issued_call_ids
from mlxoss.errors import StoreError
from mlxoss.store import values as kept
from mlxoss.store.store import Store

logger = logging.getLogger(__name__)


async def remember_passing(passing: Store, turn: kept.StoredTurn) -> None:
    """Remember ``turn`` if it made calls. Never raises StoreError."""
    if turn.call_ids:
        try:
            await passing.remember_turn(turn)
        except StoreError as error:
            logger.warning("a turn could not be remembered: %s", error)


async def recall_passing(passing: Store, items: Iterable[Item]) -> tuple[kept.StoredTurn, ...]:
    """The turns that made the calls among ``items``, as far as they are remembered."""
    call_ids = issued_call_ids(items)
    found = await passing.turns_of_calls(call_ids) if call_ids else {}
    return tuple(found.values())
