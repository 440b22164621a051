"""One response from its request to its last event: the one path of every way to ask for it."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

from sanic import Request

from mlxoss.api.encrypted_content import ContentSeal
from mlxoss.api.errors import HttpError
from mlxoss.api.exact_turns import ExactTurns
from mlxoss.api.items_parse import read_items
from mlxoss.api.responses_object import ResponseHeader, ResponseShape
from mlxoss.api.responses_prompt import PromptItems, to_turn_request
from mlxoss.api.responses_request import PromptFields, ResponsesRequest, parse_responses_request
from mlxoss.api.responses_stream import ResponsesStream, StreamSetup
from mlxoss.api.responses_tools import ToolTable, read_tools
from mlxoss.api.responses_writers import StreamEvent
from mlxoss.errors import GenerationCancelled, RequestError, StoreError
from mlxoss.harmony.encoding import Encoding
from mlxoss.harmony.written import read_turn
from mlxoss.server.final_text import TurnOutput
from mlxoss.server.http import new_id, to_error
from mlxoss.server.passing_turns import recall_passing, remember_passing
from mlxoss.server.request_log import RequestLog
from mlxoss.server.responses_context import (
    Context,
    InputItems,
    LocalResponse,
    Origin,
    load_context,
    load_input,
)
from mlxoss.server.responses_kept import to_kept_items, to_kept_output, to_object_text
from mlxoss.server.services import Services
from mlxoss.server.turn import Turn, start_turn
from mlxoss.server.turn_end import close_turn
from mlxoss.store import values as kept

logger = logging.getLogger(__name__)

_NOT_STORED = HttpError(
    500, "The response could not be stored.", type="server_error", code="store_failed"
)


@dataclass(frozen=True, slots=True)
class Prompted:
    """A request with everything its prompt is made of."""

    tools: ToolTable
    context: Context
    own: InputItems
    contents: PromptItems


async def load_prompt(
    services: Services,
    request: PromptFields,
    encoding: Encoding,
    local: LocalResponse | None = None,
) -> Prompted:
    """Look up what ``request`` goes on from. Raises InvalidRequest or NotFound."""
    tools = read_tools(request.tools)
    origin = Origin(request.previous_response_id, request.conversation)
    store = services.state.store
    context = await load_context(store, origin, services.date, local)
    own = await load_input(store, request.input or [], context)
    # A conversation keeps the items of responses that are not stored, but not their turns.
    with_calls = (*context.items, *own.items) if request.conversation else own.items
    passing = await recall_passing(services.state.passing, with_calls)
    own = replace(own, turns=(*own.turns, *passing))
    return Prompted(tools, context, own, to_contents(services, encoding, context, own))


def to_contents(
    services: Services, encoding: Encoding, context: Context, own: InputItems
) -> PromptItems:
    """The two together, as the prompt takes them."""
    return PromptItems(
        history=context.items,
        items=own.items,
        turns=ExactTurns((*context.turns, *own.turns), functools.partial(read_turn, encoding)),
        seal=make_seal(services),
        date=context.date,
    )


def make_seal(services: Services) -> ContentSeal:
    """The seal of encrypted contents."""
    return ContentSeal(services.state.key, os.urandom)


@dataclass(slots=True)
class ResponseRun:
    """A response whose turn is in the engine. ``close`` it, whatever happened.

    ``failure`` is what broke it.
    """

    http: Request
    services: Services
    encoding: Encoding
    log: RequestLog
    request: ResponsesRequest
    prompted: Prompted
    turn: Turn
    stream: ResponsesStream
    header: ResponseHeader
    failure: Exception | None = field(default=None, init=False)
    _has_started: bool = field(default=False, init=False)
    _was_stored: bool = field(default=False, init=False)

    @property
    def id(self) -> str:
        """The response's id."""
        return self.header.id

    async def events(self) -> AsyncIterator[list[StreamEvent]]:
        """Everything to send, in batches. What is kept is on the disk before the last one."""
        yield self._start()
        async for events in self.progress():
            yield events
        yield await self._keep(self.end())

    async def fold(self) -> dict[str, Any]:
        """The response of the last event. Raises what broke it."""
        async for _ in self.progress():
            pass
        if self.failure is not None:
            raise self.failure
        last = await self._keep(self.end())
        response: dict[str, Any] = last[-1]["response"]
        return response

    async def progress(self) -> AsyncIterator[list[StreamEvent]]:
        """All but the last; the first ones with the first token, unless they were given.

        A failure is noted.
        """
        try:
            async for outputs in self.turn:
                yield self._feed(outputs)
        except GenerationCancelled:
            raise
        except Exception as error:  # noqa: BLE001 (the client is told, whatever it is)
            self.failure = error
            self.log.failure = error

    def end(self) -> list[StreamEvent]:
        """The last event, as things went."""
        if self.failure is None:
            return self.stream.finish(self.turn.usage)
        return self.stream.fail(to_error(self.http, self.failure), self.turn.usage)

    def close(self) -> None:
        """Cancel the turn if it still runs, and note its counts."""
        close_turn(self.turn, self.services, self.encoding, self.log)

    def _feed(self, outputs: list[TurnOutput]) -> list[StreamEvent]:
        self.log.note_tokens()
        events = self._start()
        for output in outputs:
            events += self.stream.feed(output.event, output.logprob)
        return events

    def _start(self) -> list[StreamEvent]:
        if self._has_started:
            return []
        self._has_started = True
        return self.stream.start()

    async def _keep(self, last: list[StreamEvent]) -> list[StreamEvent]:
        """Keep what the request wants kept; ``last``, or what to send instead if that fails."""
        store = self.services.state.store
        conversation, is_answered = self.request.conversation, self.failure is None
        if is_answered and not self.request.is_stored:
            await remember_passing(self.services.state.passing, self._kept_turn())
        try:
            if self.request.is_stored:
                await store.put(self.to_kept())
                self._was_stored = True
            elif conversation is not None and is_answered:
                output = to_kept_output(self.stream.output)
                own = to_kept_items(self.prompted.own.items)
                await store.append_items(conversation, [*own, *output])
        except (StoreError, RequestError) as error:
            return self.not_stored(last, error)
        return last

    def not_stored(self, last: list[StreamEvent], error: Exception) -> list[StreamEvent]:
        """``last`` behind an event that says so, its response marked as not stored."""
        logger.error("%s: the response %s could not be stored: %s", self.log.id, self.id, error)
        self.log.failure = error
        marked = [{**one, "response": {**one["response"], "store": False}} for one in last]
        return self.stream.put_error_before(marked, _NOT_STORED)

    def to_kept(self) -> kept.StoredResponse:
        """The response as it stands, for the store."""
        request, own = self.request, self.prompted.own.items
        status = kept.Status(self.stream.response["status"])
        history = () if self.prompted.context.is_kept else self.prompted.context.items
        previous = request.previous_response_id if self.prompted.context.is_kept else None
        turn = self._kept_turn()
        return kept.StoredResponse(
            id=self.id,
            created_at=self.header.created_at,
            status=status,
            date=self.prompted.context.date,
            object_json=to_object_text(self.stream.response),
            # What the store cannot give again goes along.
            input_items=to_kept_items((*history, *own)),
            output_items=to_kept_output(self.stream.output),
            turns=(turn,) if status.answered and turn.item_ids else (),
            previous_response_id=previous,
            conversation_id=request.conversation,
            background=bool(request.background),
            stored=request.is_stored,
        )

    def to_local(self) -> LocalResponse:
        """What a connection has to remember to go on from here."""
        context, output = self.prompted.context, read_items(self.stream.output)
        turn = self._kept_turn()
        return LocalResponse(
            self.id,
            Context(
                context.date,
                (*context.items, *self.prompted.own.items, *output),
                (*context.turns, *((turn,) if turn.item_ids else ())),
                is_kept=self._was_stored,
            ),
        )

    def _kept_turn(self) -> kept.StoredTurn:
        (token_ids,) = self.turn.token_ids
        item_ids = tuple(item["id"] for item in self.stream.output)
        return kept.StoredTurn(tuple(token_ids), item_ids, self.stream.call_ids)


async def start_run(
    http: Request,
    services: Services,
    body: dict[str, Any],
    log: RequestLog,
    local: LocalResponse | None = None,
) -> ResponseRun:
    """Validate ``body``, look up what it goes on from, and submit its turn.

    ``local`` is what the connection remembers. Raises what is to be answered instead.
    """
    request = parse_responses_request(body)
    encoding = await services.encoding.get()
    prompted = await load_prompt(services, request, encoding, local)
    if prompted.tools.dropped:
        kinds = ", ".join(prompted.tools.dropped)
        logger.info("%s left out tools that this server does not have: %s", log.id, kinds)
    # On another thread: reading long exact turns back takes a while, and streams go on meanwhile.
    turn_request = await asyncio.to_thread(
        to_turn_request, request, prompted.tools, prompted.contents
    )
    turn = await start_turn(services, encoding, turn_request, http.ctx.key)
    header = ResponseHeader(
        new_id("resp_"),
        int(time.time()),
        services.model.name,
        can_store=not services.state.store.stands_in,
    )
    stream = ResponsesStream(
        ResponseShape(header, request, prompted.tools),
        _to_setup(services, request, prompted.tools, encoding),
    )
    return ResponseRun(http, services, encoding, log, request, prompted, turn, stream, header)


def _to_setup(
    services: Services, request: ResponsesRequest, tools: ToolTable, encoding: Encoding
) -> StreamSetup:
    return StreamSetup(
        tools=tools.names,
        make_id=new_id,
        clock=time.time,
        token_bytes=encoding.token_bytes,
        seal=make_seal(services).seal_reasoning if request.wants_encrypted else None,
        has_summary=request.summary is not None and services.config.reasoning_summary == "on",
        has_logprobs=request.wants_logprobs,
    )
