"""Messages: from a request to a turn on its way back, or to its prompt's length."""

from __future__ import annotations

import asyncio

from mlxoss.api.messages.items import issued_call_ids
from mlxoss.api.messages.prompt import Recalled, to_conversation, to_turn_request
from mlxoss.api.messages.request import MessagesPromptFields, MessagesRequest
from mlxoss.api.messages.stream import MessageHeader, MessagesStream, Show, StreamEvent
from mlxoss.harmony.encoding import Encoding
from mlxoss.harmony.prompt import render_prompt
from mlxoss.ids import new_id
from mlxoss.turns.answer import CallKeeper, TurnAnswer
from mlxoss.turns.context import Caller, TurnContext
from mlxoss.turns.recall import CallMemory, make_seal, recall_turns
from mlxoss.turns.start import start_turn


async def start_message(
    context: TurnContext, request: MessagesRequest, caller: Caller
) -> TurnAnswer[StreamEvent]:
    """The turn that answers ``request``. Raises what is to be answered instead."""
    encoding = await context.encoding.get()
    known = await _recall(request, context, encoding)
    # On another thread: it reads exact turns back, tens of microseconds a token.
    turn_request = await asyncio.to_thread(to_turn_request, request, known)
    turn = await start_turn(context, encoding, turn_request, caller.key)
    turn.tells_progress = bool(request.return_progress)
    memory = CallMemory(turn, context.storage.store, lambda: new_id("toolu_"))
    stream = MessagesStream(
        MessageHeader(new_id("msg_"), context.model.name, caller.request_id),
        make_call_id=memory.make_call_id,
        seal=known.seal.seal_reasoning,
        show=_to_show(request),
        context_tokens=context.context_tokens,
    )
    return TurnAnswer(context, encoding, turn, stream, CallKeeper(memory))


async def count_tokens(context: TurnContext, request: MessagesPromptFields) -> int:
    """The length of the prompt, to the token."""
    encoding = await context.encoding.get()
    known = await _recall(request, context, encoding)
    # On another thread: a long prompt takes a tenth of a second, and streams go on meanwhile.
    return await asyncio.to_thread(_prompt_tokens, encoding, request, known)


def _prompt_tokens(encoding: Encoding, request: MessagesPromptFields, known: Recalled) -> int:
    return len(render_prompt(encoding, to_conversation(request, known)))


async def _recall(
    request: MessagesPromptFields, context: TurnContext, encoding: Encoding
) -> Recalled:
    # On another thread: with thousands of messages it takes a while, and streams go on meanwhile.
    call_ids = await asyncio.to_thread(issued_call_ids, request.messages)
    turns = await recall_turns(context.storage.store, encoding, call_ids)
    return Recalled(turns, make_seal(context), context.date)


def _to_show(request: MessagesRequest) -> Show:
    """Thinking goes to those who asked: others take the first block for the answer."""
    thinking = request.thinking
    if thinking is None or thinking.type == "disabled":
        return Show.NOTHING
    return Show.SIGNATURE if thinking.display in ("omitted", "updates") else Show.TEXT
