"""``POST /v1/chat/completions``. Imports pydantic and openai-harmony, which are slow."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from sanic import HTTPResponse, Request

from mlxoss.api.chat_fold import ChatFold
from mlxoss.api.chat_messages import issued_call_ids
from mlxoss.api.chat_prompt import to_turn_request
from mlxoss.api.chat_request import ChatRequest, parse_chat_request
from mlxoss.api.chat_stream import ChatHeader, ChatStream
from mlxoss.harmony.encoding import Encoding
from mlxoss.server.event_answer import send_chunks
from mlxoss.server.final_text import TurnOutput
from mlxoss.server.http import json_response, new_id, read_json_object
from mlxoss.server.request_log import RequestLog
from mlxoss.server.services import Services
from mlxoss.server.turn import Turn, check_choices, start_turn
from mlxoss.server.turn_end import close_turn
from mlxoss.server.turn_memory import TurnMemory, recall_turns

logger = logging.getLogger(__name__)

Chunk = dict[str, Any]


async def complete(request: Request, services: Services) -> HTTPResponse | None:
    """Answer one request, in a stream or as a whole."""
    with RequestLog(request, services) as log, services.turn_in_progress():
        return await _complete(request, services, log)


async def _complete(request: Request, services: Services, log: RequestLog) -> HTTPResponse | None:
    chat = parse_chat_request(await read_json_object(request))
    encoding = await services.encoding.get()
    turn = await _start(chat, services, encoding, request.ctx.key)
    memory = TurnMemory(turn, services.state.store)
    answer = _ChatAnswer(turn, _make_stream(chat, services, encoding, memory), log, memory)
    try:
        if not chat.stream:
            return json_response(await answer.fold(logprobs=bool(chat.logprobs)))
        await send_chunks(request, services, answer.batches(), log)
        return None
    finally:
        close_turn(turn, services, encoding, log)


async def _start(
    chat: ChatRequest, services: Services, encoding: Encoding, key: str | None
) -> Turn:
    turns = await recall_turns(services.state.store, encoding, issued_call_ids(chat.messages))
    # On another thread: it reads exact turns back, tens of microseconds a token.
    turn_request = await asyncio.to_thread(to_turn_request, chat, date=services.date, turns=turns)
    check_choices(turn_request.choices, services, "n")
    return await start_turn(services, encoding, turn_request, key)


def _make_stream(
    chat: ChatRequest, services: Services, encoding: Encoding, memory: TurnMemory
) -> ChatStream:
    options = chat.stream_options
    return ChatStream(
        ChatHeader(new_id("chatcmpl-"), int(time.time()), services.model.name),
        token_bytes=encoding.token_bytes,
        make_call_id=memory.make_call_id,
        customs=[tool.name for tool in chat.tools or () if tool.custom is not None],
        hide_reasoning=bool(chat.reasoning and chat.reasoning.exclude),
        include_usage=not chat.stream or bool(options and options.include_usage),
    )


@dataclass(slots=True)
class _ChatAnswer:
    """A turn on its way to the client, as one object or chunk by chunk."""

    turn: Turn
    stream: ChatStream
    log: RequestLog
    memory: TurnMemory

    async def fold(self, *, logprobs: bool) -> dict[str, Any]:
        fold = ChatFold(logprobs=logprobs)
        async for outputs in self.turn:
            for chunk in self._to_chunks(outputs):
                fold.add(chunk)
        await self.memory.keep()
        (last,) = self.stream.finish(self.turn.usage)
        return fold.to_completion(last)

    async def batches(self) -> AsyncIterator[list[Chunk]]:
        """The chunks that each step brings, if any."""
        async for outputs in self.turn:
            chunks = self._to_chunks(outputs)
            await self.memory.keep()
            if chunks:
                yield chunks
        if chunks := self.stream.finish(self.turn.usage):
            yield chunks

    def _to_chunks(self, outputs: list[TurnOutput]) -> list[Chunk]:
        self.log.note_tokens()
        chunks: list[Chunk] = []
        for output in outputs:
            self.memory.index = output.index
            chunks += self.stream.feed(output.index, output.event, output.logprob)
        return chunks
