"""Turns with calls, kept so that the next request gets them back to the token.

Theory of operation. A client sends a turn back without its token ids, and often without its
reasoning; what it does send are the ids of the calls. These ids are made here, so they can find
the turn again. In this order:

1. The stream asks for an id for each call as the call begins (``make_call_id``).
2. After each step, every choice that has ended is remembered: its token ids under its call ids
   (``CallMemory.keep``). This is done before the step's events are sent
   (``mlxoss.turns.answer``): a client that has seen the last of a call may send it back at once,
   and must find it.
3. The next request's call ids give the turns (``recall_turns``), which
   ``mlxoss.api.history.replay`` compares with what the client sent before it uses them.

Only turns with calls are remembered so: any other ends in a final answer unless it is cut, and the
reasoning before that is left out of the next prompt anyway. Responses keep their turns with their
items, and those that must not be stored in a store in memory (``mlxoss.turns.responses.run``).

Nothing here fails a request. A turn that cannot be remembered, or is not found, is rendered from
the text that the client sent.
"""

from __future__ import annotations

import functools
import logging
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType

from mlxoss.api.history.encrypted_content import ContentSeal
from mlxoss.api.history.replay import ExactTurns
from mlxoss.api.history.rounds import EndedRound
from mlxoss.api.hosted.calls import ToolResult
from mlxoss.errors import StoreError
from mlxoss.harmony.conversation import BuiltinResult, FunctionResult
from mlxoss.harmony.encoding import Encoding
from mlxoss.harmony.events import Channel
from mlxoss.harmony.read_turn import read_turn
from mlxoss.store import values as kept
from mlxoss.store.store import Store
from mlxoss.turns.context import TurnContext
from mlxoss.turns.turn import Turn

logger = logging.getLogger(__name__)

_NO_ROUNDS: Mapping[str, Sequence[EndedRound]] = MappingProxyType({})


class CallMemory:
    """Remembers the turns of one request by their calls, whose ids ``make_id`` gives."""

    def __init__(self, turn: Turn, store: Store, make_id: Callable[[], str]) -> None:
        self._make_id = make_id
        self._turn = turn
        self._store = store
        self._call_ids: defaultdict[int, list[str]] = defaultdict(list)

    def make_call_id(self, index: int = 0) -> str:
        """The id of the next call of the choice ``index``."""
        call_id = self._make_id()
        self._call_ids[index].append(call_id)
        return call_id

    async def keep(self) -> None:
        """Keep the turns that made calls and have ended, each once. Never raises StoreError."""
        for index in [index for index in self._call_ids if self._turn.has_ended(index)]:
            token_ids = tuple(self._turn.token_ids[index])
            call_ids = tuple(self._call_ids.pop(index))
            await remember_turn(self._store, kept.StoredTurn(token_ids, call_ids=call_ids))


async def remember_turn(store: Store, turn: kept.StoredTurn) -> None:
    """Remember ``turn`` if it made calls. Never raises StoreError."""
    if turn.call_ids:
        try:
            await store.remember_turn(turn)
        except StoreError as error:
            logger.warning("a turn could not be remembered: %s", error)


async def recall_turns(
    store: Store,
    encoding: Encoding,
    call_ids: Sequence[str],
    before: Mapping[str, Sequence[EndedRound]] = _NO_ROUNDS,
) -> ExactTurns:
    """The turns that made these calls, as far as they are known. Never raises StoreError.

    ``before`` are the rounds before them, by the first call's id.
    """
    found: tuple[kept.StoredTurn, ...] = ()
    try:
        found = await turns_of_calls(store, call_ids)
    except StoreError as error:
        logger.warning("turns could not be recalled: %s", error)
    return to_exact_turns(encoding, map(from_stored, found), before)


async def turns_of_calls(store: Store, call_ids: Sequence[str]) -> tuple[kept.StoredTurn, ...]:
    """The turns that made these calls, as far as they are known. Raises StoreError."""
    found = await store.turns_of_calls(call_ids) if call_ids else {}
    return tuple(found.values())


def to_exact_turns(
    encoding: Encoding,
    turns: Iterable[EndedRound],
    before: Mapping[str, Sequence[EndedRound]] = _NO_ROUNDS,
) -> ExactTurns:
    """``turns`` to look up, read by ``encoding``; ``before`` as above."""
    rounds = tuple(turns)
    results = {item_id: one for ended in rounds for item_id, one in ended.results.items()}
    return ExactTurns(rounds, functools.partial(read_turn, encoding), results, before)


def to_stored(ended: EndedRound) -> kept.StoredTurn:
    """A turn as it is kept."""
    results = tuple(_to_stored_result(*result) for result in ended.results.items())
    return kept.StoredTurn(ended.token_ids, ended.item_ids, ended.call_ids, results)


def _to_stored_result(call_id: str, result: ToolResult) -> kept.StoredResult:
    if isinstance(result, FunctionResult):
        return kept.StoredResult(call_id, result.name, result.output)
    return kept.StoredResult(call_id, result.author, result.text, result.channel.value)


def from_stored(turn: kept.StoredTurn) -> EndedRound:
    """What :func:`to_stored` was given."""
    results = {one.call_id: _from_stored_result(one) for one in turn.results}
    return EndedRound(turn.token_ids, turn.item_ids, turn.call_ids, results)


def _from_stored_result(result: kept.StoredResult) -> ToolResult:
    if result.channel is None:
        return FunctionResult(result.author, result.text)
    return BuiltinResult(result.author, result.text, Channel(result.channel))


def make_seal(context: TurnContext) -> ContentSeal:
    """The seal of encrypted contents."""
    return ContentSeal(context.storage.key, os.urandom, context.foreign.note)
