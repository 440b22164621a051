"""Chat completions: from a request to a turn on its way back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from mlxoss.api.answer_stream import AnswerStream, EventT
from mlxoss.api.answers import Error
from mlxoss.api.chat.answers import ChatCompletionChunk
from mlxoss.api.chat.items import issued_call_ids
from mlxoss.api.chat.prompt import read_hosted, to_turn_request
from mlxoss.api.chat.request import ChatRequest
from mlxoss.api.chat.stream import ChatStream
from mlxoss.ids import new_id
from mlxoss.turns.answer import CallKeeper, TurnAnswer
from mlxoss.turns.chat_stream import make_chat_stream
from mlxoss.turns.context import Caller, TurnContext
from mlxoss.turns.hosted.request_tools import to_offer
from mlxoss.turns.recall import CallMemory, recall_turns
from mlxoss.turns.start import check_choices, start_turn
from mlxoss.turns.turn import Turn


async def start_chat(
    context: TurnContext, request: ChatRequest, caller: Caller
) -> TurnAnswer[ChatCompletionChunk | Error]:
    """The turn that answers ``request``. Raises what is to be answered instead."""
    # Refused where this server has no such tool.
    if read_hosted(request, to_offer(context.tools)) and request.tool_choice != "none":
        from mlxoss.turns.hosted.chat import start_hosted_chat

        return await start_hosted_chat(context, request, caller)
    return await start_chat_as(context, request, caller, lambda stream, turn: stream)


async def start_chat_as(
    context: TurnContext,
    request: ChatRequest,
    caller: Caller,
    speak: Callable[[ChatStream, Turn], AnswerStream[EventT]],
    *,
    make_call_id: Callable[[], str] = lambda: new_id("call_"),
) -> TurnAnswer[EventT]:
    """The same, told by what ``speak`` makes of chat completions' own stream.

    ``make_call_id`` gives the id of the next call.
    """
    encoding = await context.encoding.get()
    store = context.storage.store
    # On another thread: with thousands of messages it takes a while, and streams go on meanwhile.
    call_ids = await asyncio.to_thread(issued_call_ids, request.messages)
    turns = await recall_turns(store, encoding, call_ids)
    # On another thread: it reads exact turns back, tens of microseconds a token.
    turn_request = await asyncio.to_thread(
        to_turn_request,
        request,
        date=context.date,
        turns=turns,
        offer=to_offer(context.tools),
    )
    check_choices(turn_request.choices, context, "n")
    turn = await start_turn(context, encoding, turn_request, caller.key)
    turn.tells_progress = bool(request.return_progress)
    memory = CallMemory(turn, store, make_call_id)
    chat = make_chat_stream(request, context, encoding, memory.make_call_id)
    stream = speak(chat, turn)
    return TurnAnswer(context, encoding, turn, stream, CallKeeper(memory))
