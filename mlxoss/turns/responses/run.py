"""A response that runs, and how it is kept."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from mlxoss.api.errors import HttpError
from mlxoss.api.history.rounds import EndedRound
from mlxoss.api.responses.answers import ResponseEvent
from mlxoss.api.responses.items import Item
from mlxoss.api.responses.object import ResponseHeader
from mlxoss.api.responses.parse_items import read_items
from mlxoss.api.responses.request import ResponsesRequest
from mlxoss.api.responses.stream import ResponsesStream
from mlxoss.errors import RequestError, StoreError
from mlxoss.store import values as kept
from mlxoss.turns.answer import TurnAnswer
from mlxoss.turns.context import TurnStorage
from mlxoss.turns.recall import remember_turn, to_stored
from mlxoss.turns.request_log import LoggedRequest
from mlxoss.turns.responses.context import ConversationContext, LocalResponse
from mlxoss.turns.responses.kept import to_kept_items, to_kept_output, to_object_text
from mlxoss.turns.turn import Turn

logger = logging.getLogger(__name__)

_NOT_STORED = HttpError(
    500, "The response could not be stored.", type="server_error", code="store_failed"
)


@dataclass(slots=True)
class ResponseKeeper:
    """Keeps a response as its request wants it kept, once it has ended.

    ``context`` is the conversation before the request's ``own`` items, ``turn`` the one that runs,
    after ``rounds`` that have ended.
    """

    storage: TurnStorage
    request: ResponsesRequest
    header: ResponseHeader
    context: ConversationContext
    own: tuple[Item, ...]
    stream: ResponsesStream
    turn: Turn = field(init=False)
    rounds: list[EndedRound] = field(default_factory=list, init=False)
    _was_stored: bool = field(default=False, init=False)

    async def keep_step(self) -> None:
        """Nothing is kept before the end."""

    def keep_round(self, ended: EndedRound) -> None:
        """A round has ended; it is kept with the response."""
        self.rounds.append(ended)

    def follow(self, turn: Turn) -> None:
        """``turn`` is the one that runs now."""
        self.turn = turn

    async def keep_end(
        self, last: list[ResponseEvent], failure: Exception | None, log: LoggedRequest
    ) -> list[ResponseEvent]:
        """Keep what the request wants kept."""
        store = self.storage.store
        conversation, is_answered = self.request.conversation, failure is None
        if is_answered and not self.request.is_stored:
            for turn in self._kept_turns():
                await remember_turn(self.storage.volatile, turn)
        try:
            if self.request.is_stored:
                await store.put(self.to_kept())
                self._was_stored = True
            elif conversation is not None and is_answered:
                output = to_kept_output(self.stream.output)
                await store.append_items(conversation, [*to_kept_items(self.own), *output])
        except (StoreError, RequestError) as error:
            return self.not_stored(last, error, log)
        return last

    def not_stored(
        self, last: list[ResponseEvent], error: Exception, log: LoggedRequest
    ) -> list[ResponseEvent]:
        """``last`` behind an event that says so, its response marked as not stored."""
        response_id = self.header.id
        logger.error("%s: the response %s could not be stored: %s", log.id, response_id, error)
        log.note_failure(error)
        marked: list[ResponseEvent] = [
            {**one, "response": {**one["response"], "store": False}} for one in last
        ]
        return self.stream.put_error_before(marked, _NOT_STORED)

    def to_kept(self) -> kept.StoredResponse:
        """The response as it stands, for the store."""
        request, context = self.request, self.context
        status = kept.Status(self.stream.response["status"])
        history = () if context.is_kept else context.items
        previous = request.previous_response_id if context.is_kept else None
        return kept.StoredResponse(
            id=self.header.id,
            created_at=self.header.created_at,
            status=status,
            date=context.date,
            object_json=to_object_text(self.stream.response),
            # What the store cannot give again goes along.
            input_items=to_kept_items((*history, *self.own)),
            output_items=to_kept_output(self.stream.output),
            turns=self._kept_turns() if status.answered else (),
            previous_response_id=previous,
            conversation_id=request.conversation,
            background=bool(request.background),
            stored=request.is_stored,
        )

    def to_local(self) -> LocalResponse:
        """What a connection has to remember to go on from here."""
        context, output = self.context, read_items(self.stream.output)
        return LocalResponse(
            self.header.id,
            ConversationContext(
                context.date,
                (*context.items, *self.own, *output),
                (*context.turns, *self._kept_turns()),
                is_kept=self._was_stored,
            ),
        )

    def _kept_turns(self) -> tuple[kept.StoredTurn, ...]:
        """The turns that wrote items; the last is kept as it stands."""
        turns = [to_stored(ended) for ended in self.rounds]
        if self.stream.item_ids:
            (token_ids,) = self.turn.token_ids
            stream = self.stream
            turns.append(kept.StoredTurn(tuple(token_ids), stream.item_ids, stream.call_ids))
        return tuple(turns)


@dataclass(frozen=True, slots=True)
class ResponseRun:
    """A response whose turn is in the engine. Close its ``answer``, whatever happened."""

    answer: TurnAnswer[ResponseEvent]
    stream: ResponsesStream
    keeper: ResponseKeeper

    @property
    def id(self) -> str:
        """The response's id."""
        return self.keeper.header.id
