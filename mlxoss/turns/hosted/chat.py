"""Chat completions whose answer uses tools of this server."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from mlxoss.api.answers import Error
from mlxoss.api.chat.answers import ChatCompletionChunk
from mlxoss.api.chat.items import issued_call_ids
from mlxoss.api.chat.prompt import read_hosted, to_turn_request
from mlxoss.api.chat.request import ChatRequest
from mlxoss.api.turn_request import TurnRequest
from mlxoss.harmony.conversation import UserText
from mlxoss.harmony.encoding import Encoding
from mlxoss.ids import new_id
from mlxoss.turns.chat_stream import make_chat_stream
from mlxoss.turns.context import Caller, TurnContext
from mlxoss.turns.hosted.answer import HostedAnswer, Loop, Prelude
from mlxoss.turns.hosted.memory import KeptLoop, LoopKeeper, LoopMemory, recall_loops
from mlxoss.turns.hosted.request_tools import Pages, RequestTools, open_pages, to_offer
from mlxoss.turns.hosted.rounds import Rounds
from mlxoss.turns.limits.hold import Hold
from mlxoss.turns.recall import recall_turns
from mlxoss.turns.start import prepare

Chunk = ChatCompletionChunk | Error


@dataclass(frozen=True, slots=True)
class _Prompted:
    """A request as a turn, and the loops that are known of its history, in their order."""

    turn: TurnRequest
    loops: Mapping[str, KeptLoop]

    def next_loop(self) -> KeptLoop:
        """What goes on where the last one was."""
        if not self.loops:
            return KeptLoop()
        last = tuple(self.loops.values())[-1]
        return KeptLoop(last.container_id, last.session_id, last.next_page)


async def start_hosted_chat(
    context: TurnContext, request: ChatRequest, caller: Caller
) -> HostedAnswer[Chunk]:
    """The first of the turns that answer ``request``. Raises what is to be answered instead."""
    encoding = await context.encoding.get()
    prompted = await _load(context, request, encoding)
    loop = prompted.next_loop()
    hold = Hold(context, caller.key)
    try:
        prepared = await prepare(context, encoding, prompted.turn)
        tells = bool(request.return_progress)
        rounds = Rounds(context, prepared, hold, tells_progress=tells)
        tools = _open_tools(context, request, prompted.turn, loop)
        memory = LoopMemory(
            rounds.nothing_yet(), context.storage.store, lambda: new_id("call_"), loop
        )
        cite = None if tools.browser is None else tools.browser.page
        stream = make_chat_stream(request, context, encoding, memory.make_call_id, cite)
        keeper = LoopKeeper[Chunk](memory)
        answer = HostedAnswer[Chunk](
            context, encoding, stream, Loop(rounds, tools, hold, stream, keeper, Prelude())
        )
        await answer.start()
    except BaseException:
        hold.close()
        raise
    return answer


async def _load(context: TurnContext, request: ChatRequest, encoding: Encoding) -> _Prompted:
    store = context.storage.store
    # On other threads, as in ``start_chat_as``.
    call_ids = await asyncio.to_thread(issued_call_ids, request.messages)
    loops = await recall_loops(store, call_ids)
    before = {call_id: loop.rounds for call_id, loop in loops.items()}
    turns = await recall_turns(store, encoding, call_ids, before)
    turn = await asyncio.to_thread(
        to_turn_request, request, date=context.date, turns=turns, offer=to_offer(context.tools)
    )
    return _Prompted(turn, loops)


def _open_tools(
    context: TurnContext, request: ChatRequest, turn: TurnRequest, loop: KeptLoop
) -> RequestTools:
    assert context.tools is not None
    declared = read_hosted(request, to_offer(context.tools))
    said = [one.text for one in turn.conversation.items if isinstance(one, UserText)]
    pages = open_pages(context.tools, declared, Pages(loop.session_id, loop.next_page, said))
    return RequestTools(context.tools, declared, loop.container_id, pages)
