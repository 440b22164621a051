"""``POST /v1/responses/compact``: the model sums up the conversation."""

from __future__ import annotations

import asyncio
import time

from mlxoss.api.responses.answers import Compaction
from mlxoss.api.responses.object import ResponseHeader, to_compacted_items, to_compaction
from mlxoss.api.responses.prompt import to_compaction_turn
from mlxoss.api.responses.request import CompactRequest
from mlxoss.ids import new_id
from mlxoss.turns.context import Caller, TurnContext
from mlxoss.turns.end import close_turn
from mlxoss.turns.recall import make_seal
from mlxoss.turns.request_log import LoggedRequest
from mlxoss.turns.responses.context import PromptOrigin, load_context, load_input
from mlxoss.turns.responses.prompted import to_contents
from mlxoss.turns.responses.summary import Summary
from mlxoss.turns.start import start_turn


async def compact(
    context: TurnContext, request: CompactRequest, caller: Caller, log: LoggedRequest
) -> Compaction:
    """The compaction. Raises what is to be answered instead."""
    encoding = await context.encoding.get()
    store = context.storage.store
    earlier = await load_context(store, PromptOrigin(request.previous_response_id), context.date)
    own = await load_input(context, request.input or [], earlier)
    contents = to_contents(context, encoding, earlier, own)
    turn_request = await asyncio.to_thread(to_compaction_turn, request, contents)
    turn = await start_turn(context, encoding, turn_request, caller.key)
    summary = Summary()
    try:
        async for outputs in turn:
            log.note_tokens()
            summary.add(outputs)
        usage = turn.usage
    finally:
        close_turn(turn, context, encoding, log)
    items = to_compacted_items(
        (*earlier.items, *own.items), summary.text, seal=make_seal(context), make_id=new_id
    )
    header = ResponseHeader(new_id("resp_"), int(time.time()), context.model.name)
    return to_compaction(header, items, usage)
