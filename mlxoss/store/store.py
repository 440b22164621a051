"""The response store as the server sees it: awaitable operations on values.

Every write is one transaction: it is committed and on the disk when its call
returns, or nothing of it is kept. Every operation may raise ``StoreError``
(``StoreFull`` for writes); the store goes on serving after either. Call from one
event loop's thread.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from mlxoss.errors import StoreError
from mlxoss.findings import DaemonProblem
from mlxoss.store import contents, conversations, events, lookup, responses, retention, usage
from mlxoss.store.calendar import Calendar, steady_s
from mlxoss.store.database import Database
from mlxoss.store.lock import FileLock
from mlxoss.store.migrations import touch
from mlxoss.store.retention import Writing
from mlxoss.store.values import (
    Bounds,
    ChainLink,
    Event,
    EventPage,
    Failure,
    History,
    Page,
    PageRequest,
    Stats,
    StoredConversation,
    StoredItem,
    StoredResponse,
    StoredTurn,
    UsageRow,
)

_LOG = logging.getLogger(__name__)

_NOTHING = Writing()
_VACUUM_PAGES = 2048
"""How much of the file one step of giving back moves (8 MiB); writers wait for a step."""


class Store:
    """What outlives a request. Made by ``mlxoss.store.opening``; ``found`` is what that saw."""

    def __init__(
        self,
        database: Database,
        lock: FileLock | None,
        bounds: Bounds,
        clock: Callable[[], float],
        found: DaemonProblem | None = None,
        steady: Callable[[], float] = steady_s,
    ) -> None:
        self._database = database
        self._found = found
        self._calendar = Calendar(clock, steady)
        self._lock = lock
        self._bounds = bounds
        self._clock = clock

    # Responses

    async def put(self, response: StoredResponse, new_events: Sequence[Event] = ()) -> None:
        """Keep a new response, with all it holds and its events so far.

        If it has been answered (completed or incomplete), its items also join its
        conversation. ``InvalidRequest`` if an item is in the conversation already.
        """

        def job(connection: sqlite3.Connection) -> None:
            now = self._clock()
            chain_id = responses.insert(connection, response, now, self._bounds.unstored_s)
            events.insert_events(connection, response.id, new_events)
            self._keep_bounds(connection, Writing(response.id, chain_id, response.conversation_id))

        await self._database.write(job)

    async def update(self, response: StoredResponse, new_events: Sequence[Event] = ()) -> bool:
        """Replace a running response, whole, and add its next events, as :meth:`put`.

        Its links, date and flags stay as they were put. ``False``, and nothing done,
        if it was deleted or has ended: the first ending stays.
        """

        def job(connection: sqlite3.Connection) -> bool:
            now = self._clock()
            chain_id = responses.update(connection, response, now, self._bounds.unstored_s)
            if chain_id is None:
                return False
            events.insert_events(connection, response.id, new_events)
            self._keep_bounds(connection, Writing(response.id, chain_id, response.conversation_id))
            return True

        return await self._database.write(job)

    async def get(self, response_id: str) -> StoredResponse:
        """One response, whole; ``NotFound`` if there is none."""
        return await self._database.read(lambda c: responses.read(c, response_id))

    async def chain(self, response_id: str) -> tuple[ChainLink, ...]:
        """The conversation that ends with ``response_id``, its first response first.

        ``NotFound`` (``previous_response_not_found``) if it or one before it has gone.
        """
        return await self._database.read(lambda c: responses.read_chain(c, response_id))

    async def delete(self, response_id: str) -> None:
        """Forget a response and give its bytes back; ``NotFound`` if there is none.

        Responses that went on from it stay, but no chain leads through it any more.
        What it brought into a conversation stays there.
        """
        await self._database.write(lambda c: responses.delete(c, response_id))
        await self._give_back()

    async def input_items(self, response_id: str, page: PageRequest) -> Page:
        """A page of a response's own input; ``NotFound`` without it or ``page.after``."""

        def job(connection: sqlite3.Connection) -> Page:
            responses.require(connection, response_id)
            return lookup.read_page(connection, responses.INPUT_ITEMS, response_id, page)

        return await self._database.read(job)

    async def find_items(self, item_ids: Sequence[str]) -> History:
        """Items of any response or conversation, in the order given.

        An id that several carry means the one the model wrote, else the newest. The
        turns are those whose items are all among ``item_ids``. ``NotFound`` for an
        unknown id.
        """
        return await self._database.read(lambda c: lookup.find_items(c, item_ids))

    # Background responses

    async def append_events(self, response_id: str, new_events: Sequence[Event]) -> bool:
        """Keep events of a running response; ``False`` if it was deleted or has ended.

        Survives the death of the process at once, that of the machine from the next
        durable write on: the response's end is one.
        """
        return await self._database.write(
            lambda c: events.append_events(c, response_id, new_events), durable=False
        )

    async def read_events(self, response_id: str, after: int = -1, limit: int = 256) -> EventPage:
        """The next events behind the number ``after``; ``NotFound`` if the response is gone."""

        def job(connection: sqlite3.Connection) -> EventPage:
            responses.require(connection, response_id)
            return events.read_events(connection, response_id, after, limit)

        return await self._database.read(job)

    async def fail_interrupted(
        self, to_failed: Callable[[StoredResponse, int], Failure]
    ) -> tuple[str, ...]:
        """Fail what was running when the last process died; the ids, oldest first.

        Await once after opening. ``to_failed`` gets the response and the sequence
        number its next event has; it runs on the store's thread and only computes.
        """
        return await self._database.write(
            lambda c: responses.fail_running(c, to_failed, self._clock(), self._bounds.unstored_s)
        )

    # Turns by call id

    async def remember_turn(self, turn: StoredTurn) -> None:
        """Keep a turn that belongs to no stored response, to be found by its ``call_ids``."""

        def job(connection: sqlite3.Connection) -> None:
            contents.insert_turn(connection, replace(turn, item_ids=()), self._clock())
            self._keep_bounds(connection)

        await self._database.write(job)

    async def turns_of_calls(self, call_ids: Iterable[str]) -> dict[str, StoredTurn]:
        """The turns in which the model made these calls, by call id; unknown ones are left out."""
        wanted = tuple(call_ids)
        return await self._database.read(lambda c: lookup.find_turns(c, wanted))

    # Conversations

    async def create_conversation(
        self, conversation: StoredConversation, items: Sequence[StoredItem] = ()
    ) -> None:
        """Keep a new conversation; ``InvalidRequest`` for an item id given twice."""

        def job(connection: sqlite3.Connection) -> None:
            conversations.insert(connection, conversation, items, self._clock())
            self._keep_bounds(connection, Writing(conversation_id=conversation.id))

        await self._database.write(job)

    async def conversation(self, conversation_id: str) -> StoredConversation:
        """One conversation without its items; ``NotFound`` if there is none."""
        return await self._database.read(lambda c: conversations.read(c, conversation_id))

    async def set_metadata(self, conversation_id: str, metadata_json: str) -> StoredConversation:
        """Replace the metadata and return the conversation; ``NotFound`` if there is none."""
        return await self._database.write(
            lambda c: conversations.set_metadata(c, conversation_id, metadata_json)
        )

    async def delete_conversation(self, conversation_id: str) -> None:
        """Forget a conversation and give its bytes back; ``NotFound`` if there is none.

        Responses that were part of it stay.
        """
        await self._database.write(lambda c: conversations.delete(c, conversation_id))
        await self._give_back()

    async def append_items(self, conversation_id: str, items: Sequence[StoredItem]) -> None:
        """Add items behind the last one: all, or none with ``NotFound`` or ``InvalidRequest``."""

        def job(connection: sqlite3.Connection) -> None:
            conversations.append(connection, conversation_id, items, self._clock())
            self._keep_bounds(connection, Writing(conversation_id=conversation_id))

        await self._database.write(job)

    async def conversation_items(self, conversation_id: str, page: PageRequest) -> Page:
        """A page of its items; ``NotFound`` without the conversation or ``page.after``."""

        def job(connection: sqlite3.Connection) -> Page:
            conversations.read(connection, conversation_id)
            rows = conversations.CONVERSATION_ITEMS
            return lookup.read_page(connection, rows, conversation_id, page)

        return await self._database.read(job)

    async def conversation_item(self, conversation_id: str, item_id: str) -> StoredItem:
        """One item; ``NotFound`` if it or its conversation is not there."""
        return await self._database.read(
            lambda c: conversations.read_item(c, conversation_id, item_id)
        )

    async def delete_item(self, conversation_id: str, item_id: str) -> StoredConversation:
        """Take one item out and return the conversation; ``NotFound`` as above."""
        return await self._database.write(
            lambda c: conversations.delete_item(c, conversation_id, item_id)
        )

    async def history(self, conversation_id: str) -> History:
        """All items, oldest first, with the turns that are whole; ``NotFound`` if not there."""
        return await self._database.read(lambda c: conversations.read_history(c, conversation_id))

    # Usage

    async def add_usage(self, rows: Sequence[UsageRow]) -> None:
        """Add counts to those of their days. The death of the machine may take the last ones."""
        await self._database.write(lambda c: usage.add(c, rows), durable=False)

    async def usage(self, days: int) -> tuple[UsageRow, ...]:
        """The counts of the last ``days`` days, today's among them."""
        first = usage.first_day(self._clock(), days)
        return await self._database.read(lambda c: usage.read(c, first))

    # The store itself

    async def sweep(self) -> None:
        """Forget what is past its time or over the bounds, and give the bytes back.

        Await after opening and every minute or so. It goes in small steps, between which
        writes run. After a failure it tries to write again.
        """
        if self._database.problem is not None:
            await self._database.write(touch)
        while self._calendar.is_believed() and await self._database.write(self._expire):
            pass
        await self._database.write(self._keep_bounds)
        await self._give_back()

    @property
    def stands_in(self) -> bool:
        """Whether it is in memory because the file cannot be used."""
        return self._database.stands_in

    def problems(self) -> list[DaemonProblem]:
        """What the owner should know. Any thread; waits for nothing."""
        return [p for p in (self._found, self._database.problem, self._calendar.problem) if p]

    async def stats(self) -> Stats:
        """How much is kept now."""
        return await self._database.read(retention.read_stats)

    async def close(self) -> None:
        """Finish what is queued and let the file go. Later calls raise ``StoreError``."""
        await self._database.close()
        if self._lock is not None:
            self._lock.release()

    def _expire(self, connection: sqlite3.Connection) -> bool:
        usage.forget(connection, self._clock())
        return retention.expire(connection, self._bounds, self._clock())

    def _keep_bounds(self, connection: sqlite3.Connection, writing: Writing = _NOTHING) -> None:
        retention.settle_times(connection, self._bounds, self._clock())
        retention.make_room(connection, self._bounds, writing)

    async def _give_back(self) -> None:
        """Cut free pages off the file. What cannot be cut now is cut by a later sweep."""
        try:
            while await self._database.write(lambda c: retention.give_back(c, _VACUUM_PAGES)):
                pass
            await self._database.checkpoint()
        except StoreError as error:
            _LOG.warning("free space could not be given back: %s", error)
