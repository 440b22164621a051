"""From a request to a response whose turn is in the engine."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, replace

from mlxoss.api.responses.items import CompactionItem
from mlxoss.api.responses.object import ResponseHeader, ResponseShape
from mlxoss.api.responses.output import StreamSetup
from mlxoss.api.responses.prompt import to_compaction_turn, to_turn_request
from mlxoss.api.responses.request import ResponsesRequest
from mlxoss.api.responses.stream import ResponsesStream
from mlxoss.api.responses.tool_table import ToolTable
from mlxoss.api.tool_choice import read_tool_choice
from mlxoss.api.turn_request import TurnRequest
from mlxoss.harmony.encoding import Encoding
from mlxoss.ids import new_id
from mlxoss.turns.answer import TurnAnswer
from mlxoss.turns.context import Caller, TurnContext
from mlxoss.turns.recall import make_seal
from mlxoss.turns.responses.compacting import CompactingAnswer
from mlxoss.turns.responses.context import LocalResponse
from mlxoss.turns.responses.prompted import Prompted, count_tokens, load_prompt, to_contents
from mlxoss.turns.responses.run import ResponseKeeper, ResponseRun
from mlxoss.turns.start import start_turn
from mlxoss.turns.turn import Turn

logger = logging.getLogger(__name__)


async def start_response(
    context: TurnContext,
    request: ResponsesRequest,
    caller: Caller,
    local: LocalResponse | None = None,
) -> ResponseRun:
    """Look up what ``request`` goes on from, and submit its turn.

    ``local`` is what the connection remembers. Raises what is to be answered instead.
    """
    encoding = await context.encoding.get()
    prompted = await load_prompt(context, request, encoding, local)
    if prompted.tools.dropped:
        kinds = ", ".join(prompted.tools.dropped)
        logger.info(
            "%s left out tools that this server does not have: %s", caller.request_id, kinds
        )
    starting = _Starting(context, encoding, request, caller)
    is_too_long = await starting.is_too_long(prompted)
    turn = await (starting.sum_up if is_too_long else starting.answer)(prompted)
    header = ResponseHeader(
        new_id("resp_"),
        int(time.time()),
        context.model.name,
        can_store=not context.storage.store.stands_in,
    )
    stream = ResponsesStream(
        ResponseShape(header, request, prompted.tools),
        _to_setup(context, request, prompted.tools, encoding),
    )
    keeper = ResponseKeeper(
        context.storage, request, header, prompted.context, prompted.own.items, turn, stream
    )
    if not is_too_long:
        return ResponseRun(TurnAnswer(context, encoding, turn, stream, keeper), stream, keeper)

    async def go_on(item: CompactionItem) -> Turn:
        own = replace(prompted.own, items=(*prompted.own.items, item))
        contents = to_contents(context, encoding, prompted.context, own)
        return await starting.answer(replace(prompted, own=own, contents=contents))

    return ResponseRun(CompactingAnswer(context, encoding, keeper, go_on), stream, keeper)


@dataclass(frozen=True, slots=True)
class _Starting:
    """Starts the turns of one request. Its methods raise what is to be answered instead."""

    context: TurnContext
    encoding: Encoding
    request: ResponsesRequest
    caller: Caller

    async def is_too_long(self, prompted: Prompted) -> bool:
        """Whether the conversation is to be summed up before it is answered."""
        wanted = self.request.compaction
        if wanted is None or self.request.only_prompt:
            return False
        most = wanted.compact_threshold or self.context.context_tokens * 3 // 4
        return await count_tokens(self.encoding, self.request, prompted) > most

    async def answer(self, prompted: Prompted) -> Turn:
        """The turn that answers."""
        # On another thread: reading long exact turns back takes a while, and streams go on.
        return await self._start(
            await asyncio.to_thread(
                to_turn_request, self.request, prompted.tools, prompted.contents
            )
        )

    async def sum_up(self, prompted: Prompted) -> Turn:
        """The turn that sums the conversation up; what is wrong with the request is told first."""
        read_tool_choice(self.request.tool_choice, prompted.tools.calls)
        return await self._start(
            await asyncio.to_thread(to_compaction_turn, self.request, prompted.contents)
        )

    async def _start(self, turn_request: TurnRequest) -> Turn:
        turn = await start_turn(self.context, self.encoding, turn_request, self.caller.key)
        turn.tells_progress = bool(self.request.return_progress)
        return turn


def _to_setup(
    context: TurnContext, request: ResponsesRequest, tools: ToolTable, encoding: Encoding
) -> StreamSetup:
    return StreamSetup(
        tools=tools.names,
        max_tool_calls=request.max_tool_calls,
        make_id=new_id,
        clock=time.time,
        token_bytes=encoding.token_bytes,
        seal=make_seal(context).seal_reasoning if request.wants_encrypted else None,
        has_summary=request.summary is not None and context.config.reasoning_summary == "on",
        has_logprobs=request.wants_logprobs,
    )
