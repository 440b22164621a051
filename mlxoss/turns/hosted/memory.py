"""Rounds of chats, kept so that the next request goes on from them to the token.

A client of chat completions knows nothing of them: it sends back the calls that are its own to
answer. So they are kept beside the turn that made these (``mlxoss.turns.recall``), under the id of
its first call, with where the tools were.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from mlxoss.api.answer_stream import EventT
from mlxoss.api.history.rounds import EndedRound, pack_round, unpack_round
from mlxoss.errors import StoreError
from mlxoss.harmony.conversation import BuiltinResult
from mlxoss.ids import new_id
from mlxoss.store import values as kept
from mlxoss.store.store import Store
from mlxoss.turns.answer import CallKeeper
from mlxoss.turns.recall import CallMemory, remember_turn
from mlxoss.turns.turn import Turn

logger = logging.getLogger(__name__)

_KEY = "{}/rounds"


@dataclass(frozen=True, slots=True)
class KeptLoop:
    """The ``rounds`` before a call of the client's, and the container and the pages of their tools,
    which begin with ``first_page``."""

    container_id: str = field(default_factory=lambda: new_id("cntr_"))
    session_id: str = field(default_factory=lambda: new_id(""))
    first_page: int = 0
    rounds: tuple[EndedRound, ...] = ()

    @property
    def next_page(self) -> int:
        """The number of the next page, or somewhat more: not every call brings one."""
        results = (result for one in self.rounds for result in one.results.values())
        calls = (one for one in results if isinstance(one, BuiltinResult))
        return self.first_page + sum(one.author != "python" for one in calls)


async def recall_loops(store: Store, call_ids: Sequence[str]) -> Mapping[str, KeptLoop]:
    """What is known of the rounds before these calls, in their order. Never raises StoreError."""
    keys = {_KEY.format(call_id): call_id for call_id in call_ids}
    try:
        found = await store.turns_of_calls(keys) if keys else {}
    except StoreError as error:
        logger.warning("rounds could not be recalled: %s", error)
        return {}
    return {keys[key]: _unpack(turn) for key, turn in found.items()}


def _pack(loop: KeptLoop) -> str:
    packed = {
        "container": loop.container_id,
        "session": loop.session_id,
        "first_page": loop.first_page,
        "rounds": [pack_round(one) for one in loop.rounds],
    }
    return json.dumps(packed)


def _unpack(turn: kept.StoredTurn) -> KeptLoop:
    (result,) = turn.results
    packed = json.loads(result.text)
    rounds = tuple(unpack_round(one) for one in packed["rounds"])
    return KeptLoop(packed["container"], packed["session"], packed["first_page"], rounds)


class LoopMemory(CallMemory):
    """Remembers the turn that makes calls of the client's, and the rounds before it in ``loop``."""

    def __init__(
        self, turn: Turn, store: Store, make_id: Callable[[], str], loop: KeptLoop
    ) -> None:
        super().__init__(turn, store, make_id)
        self._loop = loop

    def follow(self, turn: Turn) -> None:
        """``turn`` is the one that runs now."""
        self._turn = turn

    def add(self, ended: EndedRound) -> None:
        """A round has ended."""
        self._loop = replace(self._loop, rounds=(*self._loop.rounds, ended))

    async def keep(self) -> None:
        """See ``CallMemory``."""
        call_ids = self._call_ids.get(0)
        if call_ids and self._loop.rounds and self._turn.has_ended(0):
            key = _KEY.format(call_ids[0])
            rounds = kept.StoredResult(key, "mlxoss", _pack(self._loop))
            await remember_turn(self._store, kept.StoredTurn((), (), (key,), (rounds,)))
        await super().keep()


class LoopKeeper(CallKeeper[EventT]):
    """Keeps what ``memory`` remembers."""

    def __init__(self, memory: LoopMemory) -> None:
        super().__init__(memory)
        self._rounds = memory

    def keep_round(self, ended: EndedRound) -> None:
        """A round has ended; it is kept with the answer."""
        self._rounds.add(ended)

    def follow(self, turn: Turn) -> None:
        """``turn`` is the one that runs now."""
        self._rounds.follow(turn)
