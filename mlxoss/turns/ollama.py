"""Ollama's chats: turns of chat completions that come in and go out by another door."""

from __future__ import annotations

import asyncio
import time

from mlxoss.api.answers import OllamaError
from mlxoss.api.chat.stream import ChatStream
from mlxoss.api.ollama.answers import OllamaChat
from mlxoss.api.ollama.call_ids import CallIds
from mlxoss.api.ollama.request import OllamaChatRequest
from mlxoss.api.ollama.stream import OllamaStream, OllamaTimes
from mlxoss.api.ollama.to_chat import CHATS_FORMAT, to_chat_request
from mlxoss.errors import InvalidRequest
from mlxoss.turns.answer import TurnAnswer
from mlxoss.turns.chat import start_chat_as
from mlxoss.turns.context import Caller, TurnContext
from mlxoss.turns.turn import Turn


async def start_ollama_chat(
    context: TurnContext, request: OllamaChatRequest, caller: Caller
) -> TurnAnswer[OllamaChat | OllamaError]:
    """The turn that answers ``request``. Raises what is to be answered instead."""
    begun_at, begun_s = time.time(), context.clock()

    def speak(chat: ChatStream, turn: Turn) -> OllamaStream:
        times = OllamaTimes(begun_at, lambda: context.clock() - begun_s, lambda: turn.wait_s)
        return OllamaStream(chat, context.model.name, times)

    ids = CallIds(context.storage.key, caller.key)
    try:
        # On another thread, as all that reads whole conversations.
        chat = await asyncio.to_thread(to_chat_request, request, ids)
        call_ids = ids.behind()
        return await start_chat_as(
            context, chat, caller, speak, make_call_id=lambda: next(call_ids)
        )
    except InvalidRequest as error:
        if error.param != CHATS_FORMAT:
            raise
        message = str(error).replace(CHATS_FORMAT, "format")
        raise InvalidRequest(message, param="format", code=error.code) from None
