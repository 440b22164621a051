"""Chat's turns with calls, kept so that the next request gets them back to the token.

A chat client sends a turn back without its ids, and often without its reasoning; what
it does send are the ids of the calls.
"""

from __future__ import annotations

import functools
import logging
from collections import defaultdict
from collections.abc import Sequence

from mlxoss.api.exact_turns import ExactTurns
from mlxoss.errors import StoreError
from mlxoss.harmony.encoding import Encoding
from mlxoss.harmony.written import read_turn
from mlxoss.server.http import new_id
from mlxoss.server.turn import Turn
from mlxoss.store import values as kept
from mlxoss.store.store import Store

logger = logging.getLogger(__name__)


class TurnMemory:
    """Remembers one request's turns. ``index`` is the choice that is being fed.

    ``prefix`` is what ids of calls begin with.
    """

    def __init__(self, turn: Turn, store: Store, *, prefix: str = "call_") -> None:
        self.index = 0
        self._prefix = prefix
        self._turn = turn
        self._store = store
        self._call_ids: defaultdict[int, list[str]] = defaultdict(list)

    def make_call_id(self) -> str:
        """A fresh id for the next call of the choice ``index``."""
        call_id = new_id(self._prefix)
        self._call_ids[self.index].append(call_id)
        return call_id

    async def keep(self) -> None:
        """Keep the turns that made calls and have ended, each once. Never raises StoreError."""
        for index in [index for index in self._call_ids if self._turn.has_ended(index)]:
            token_ids = tuple(self._turn.token_ids[index])
            turn = kept.StoredTurn(token_ids, call_ids=tuple(self._call_ids.pop(index)))
            try:
                await self._store.remember_turn(turn)
            except StoreError as error:
                logger.warning("a turn could not be remembered: %s", error)


async def recall_turns(store: Store, encoding: Encoding, call_ids: Sequence[str]) -> ExactTurns:
    """The turns that made these calls, as far as they are known. Never raises StoreError."""
    found: dict[str, kept.StoredTurn] = {}
    if call_ids:
        try:
            found = await store.turns_of_calls(call_ids)
        except StoreError as error:
            logger.warning("turns could not be recalled: %s", error)
    return ExactTurns(found.values(), functools.partial(read_turn, encoding))
