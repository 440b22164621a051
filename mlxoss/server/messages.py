"""``POST /v1/messages`` and its counting. Imports pydantic and openai-harmony, which are slow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from sanic import HTTPResponse, Request

from mlxoss.api.messages_fold import fold_message
from mlxoss.api.messages_items import issued_call_ids
from mlxoss.api.messages_prompt import Recalled, to_conversation, to_turn_request
from mlxoss.api.messages_request import (
    MessagesPromptFields,
    MessagesRequest,
    parse_count_tokens_request,
    parse_messages_request,
)
from mlxoss.api.messages_stream import PING, MessagesStream, Show, StreamEvent
from mlxoss.api.sse import encode_named
from mlxoss.harmony.encoding import Encoding
from mlxoss.harmony.prompt import render_prompt
from mlxoss.server.http import json_response, new_id, read_json_object, to_body, to_error
from mlxoss.server.request_log import RequestLog
from mlxoss.server.responses_run import make_seal
from mlxoss.server.services import Services
from mlxoss.server.stream import EventStream
from mlxoss.server.turn import Turn, start_turn
from mlxoss.server.turn_end import close_turn
from mlxoss.server.turn_memory import TurnMemory, recall_turns


async def create(request: Request, services: Services) -> HTTPResponse | None:
    """Answer one request, in a stream or as a whole."""
    with RequestLog(request, services) as log, services.turn_in_progress():
        return await _create(request, services, log)


async def _create(request: Request, services: Services, log: RequestLog) -> HTTPResponse | None:
    wanted = parse_messages_request(await read_json_object(request))
    encoding = await services.encoding.get()
    known = await _recall(wanted, services, encoding)
    # On another thread: it reads exact turns back, tens of microseconds a token.
    turn_request = await asyncio.to_thread(to_turn_request, wanted, known)
    turn = await start_turn(services, encoding, turn_request, request.ctx.key)
    memory = TurnMemory(turn, services.state.store, prefix="toolu_")
    answer = _Answer(turn, _make_stream(wanted, services, memory), log, memory)
    try:
        if not wanted.stream:
            batches = [events async for events in answer.batches()]
            return json_response(fold_message(event for events in batches for event in events))
        await answer.send(request, heartbeat_s=services.heartbeat_s)
        return None
    finally:
        close_turn(turn, services, encoding, log)


async def count_tokens(request: Request, services: Services) -> HTTPResponse:
    """The length of the prompt, to the token."""
    wanted = parse_count_tokens_request(await read_json_object(request))
    encoding = await services.encoding.get()
    known = await _recall(wanted, services, encoding)
    # On another thread: a long prompt takes a tenth of a second, and streams go on meanwhile.
    count = await asyncio.to_thread(_prompt_tokens, encoding, wanted, known)
    return json_response({"input_tokens": count})


def _prompt_tokens(encoding: Encoding, wanted: MessagesPromptFields, known: Recalled) -> int:
    return len(render_prompt(encoding, to_conversation(wanted, known)))


async def _recall(wanted: MessagesPromptFields, services: Services, encoding: Encoding) -> Recalled:
    turns = await recall_turns(services.state.store, encoding, issued_call_ids(wanted.messages))
    return Recalled(turns, make_seal(services), services.date)


def _make_stream(wanted: MessagesRequest, services: Services, memory: TurnMemory) -> MessagesStream:
    return MessagesStream(
        new_id("msg_"),
        services.model.name,
        make_call_id=memory.make_call_id,
        seal=make_seal(services).seal_reasoning,
        show=_to_show(wanted),
        context_tokens=services.context_tokens,
    )


def _to_show(wanted: MessagesRequest) -> Show:
    """Thinking goes to those who asked: others take the first block for the answer."""
    thinking = wanted.thinking
    if thinking is None or thinking.type == "disabled":
        return Show.NOTHING
    return Show.SIGNATURE if thinking.display == "omitted" else Show.TEXT


@dataclass(slots=True)
class _Answer:
    """A turn on its way to the client."""

    turn: Turn
    stream: MessagesStream
    log: RequestLog
    memory: TurnMemory

    async def batches(self) -> AsyncIterator[list[StreamEvent]]:
        """The events that each step brings, the first when there is a token."""
        events: list[StreamEvent] | None = None
        async for outputs in self.turn:
            self.log.note_tokens()
            events = self.stream.begin(self.turn.usage) if events is None else []
            for output in outputs:
                events += self.stream.feed(output.event)
            await self.memory.keep()
            if events:
                yield events
        yield self.stream.finish(self.turn.usage)

    async def send(self, request: Request, *, heartbeat_s: float) -> None:
        """Send the events; see ``EventStream.send_batches`` for a failure."""

        def to_failure(error: Exception) -> bytes:
            self.log.failure = error
            return encode_named([to_body(request, to_error(request, error))])

        beat = encode_named([PING])
        async with EventStream(request, heartbeat_s=heartbeat_s, beat=beat) as out:
            await out.send_batches(self.batches(), encode_named, to_failure)
