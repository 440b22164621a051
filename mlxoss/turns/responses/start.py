"""From a request to a response whose turn is in the engine."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, replace

from mlxoss.api.responses.answers import ResponseEvent
from mlxoss.api.responses.hosted.running import ApprovedCall, HostedSetup
from mlxoss.api.responses.hosted.trail import approved_calls
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
from mlxoss.turns.hosted.answer import MOST_CALLS, HostedAnswer, Loop
from mlxoss.turns.hosted.rounds import Rounds
from mlxoss.turns.limits.hold import Hold
from mlxoss.turns.recall import make_seal
from mlxoss.turns.responses.compacting import CompactingAnswer
from mlxoss.turns.responses.context import LocalResponse
from mlxoss.turns.responses.hosted import ResponsePrelude, ResponseTools, open_tools
from mlxoss.turns.responses.prompted import Prompted, count_tokens, load_prompt, to_contents
from mlxoss.turns.responses.run import ResponseKeeper, ResponseRun
from mlxoss.turns.start import prepare, start_turn
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
    starting = _Starting(
        context, encoding, request, caller, _open_tools(context, request, prompted)
    )
    keeper = starting.make_keeper(prompted)
    if not await starting.is_too_long(prompted):
        return ResponseRun(await starting.answer(prompted, keeper), keeper.stream, keeper)
    hold = Hold(context, caller.key)
    try:
        keeper.follow(await starting.sum_up(prompted, hold))
    except BaseException:
        hold.close()
        raise

    async def go_on(item: CompactionItem) -> TurnAnswer[ResponseEvent]:
        own = replace(prompted.own, items=(*prompted.own.items, item))
        contents = to_contents(context, encoding, prompted.context, own)
        return await starting.answer(replace(prompted, own=own, contents=contents), keeper, hold)

    answer = CompactingAnswer(context, encoding, keeper, hold, go_on)
    return ResponseRun(answer, keeper.stream, keeper)


def _open_tools(
    context: TurnContext, request: ResponsesRequest, prompted: Prompted
) -> ResponseTools | None:
    if context.tools is None or not prompted.tools.hosted or request.only_prompt:
        return None
    return open_tools(context.tools, request, prompted.tools, prompted.items)


@dataclass(frozen=True, slots=True)
class _Starting:
    """Starts the turns of one request. Its methods raise what is to be answered instead.

    ``tools`` are those of this server that the request declares.
    """

    context: TurnContext
    encoding: Encoding
    request: ResponsesRequest
    caller: Caller
    tools: ResponseTools | None

    def make_keeper(self, prompted: Prompted) -> ResponseKeeper:
        """What keeps the response, with its stream."""
        context, request = self.context, self.request
        header = ResponseHeader(
            new_id("resp_"),
            int(time.time()),
            context.model.name,
            can_store=not context.storage.store.stands_in,
        )
        stream = ResponsesStream(
            ResponseShape(header, request, prompted.tools),
            self._to_setup(prompted.tools),
        )
        own = prompted.own.items
        return ResponseKeeper(context.storage, request, header, prompted.context, own, stream)

    async def is_too_long(self, prompted: Prompted) -> bool:
        """Whether the conversation is to be summed up before it is answered: not while a call is
        to be run first, whose answer belongs behind it."""
        wanted = self.request.compaction
        if wanted is None or self.request.only_prompt or self._approved(prompted):
            return False
        most = wanted.compact_threshold or self.context.context_tokens * 3 // 4
        return await count_tokens(self.encoding, self.request, prompted) > most

    async def answer(
        self, prompted: Prompted, keeper: ResponseKeeper, hold: Hold | None = None
    ) -> TurnAnswer[ResponseEvent]:
        """The turn that answers, or the first of several; in ``hold``, if the request has one."""
        # On another thread: reading long exact turns back takes a while, and streams go on.
        turn_request = await asyncio.to_thread(
            to_turn_request, self.request, prompted.tools, prompted.contents
        )
        if self.tools is not None:
            hold = hold or Hold(self.context, self.caller.key)
            return await self._loop(prompted, keeper, turn_request, hold)
        keeper.follow(await self._start(turn_request, hold))
        return TurnAnswer(self.context, self.encoding, keeper.turn, keeper.stream, keeper)

    async def sum_up(self, prompted: Prompted, hold: Hold) -> Turn:
        """The turn that sums the conversation up; what is wrong with the request is told first."""
        tools = prompted.tools
        read_tool_choice(self.request.tool_choice, tools.calls, tools.others)
        return await self._start(
            await asyncio.to_thread(to_compaction_turn, self.request, prompted.contents), hold
        )

    async def _start(self, turn_request: TurnRequest, hold: Hold | None) -> Turn:
        context, encoding = self.context, self.encoding
        if hold is None:
            turn = await start_turn(context, encoding, turn_request, self.caller.key)
        else:
            prepared = await prepare(context, encoding, turn_request)
            turn = prepared.to_turn([hold.place.submit(prepared.generation)], hold.limit)
        turn.tells_progress = bool(self.request.return_progress)
        return turn

    async def _loop(
        self,
        prompted: Prompted,
        keeper: ResponseKeeper,
        turn_request: TurnRequest,
        hold: Hold,
    ) -> HostedAnswer[ResponseEvent]:
        context, request, stream = self.context, self.request, keeper.stream
        assert self.tools is not None
        try:
            approved = self._approved(prompted)
            prepared = await prepare(context, self.encoding, turn_request)
            tells = bool(request.return_progress)
            loop = Loop(
                Rounds(context, prepared, hold, tells_progress=tells),
                self.tools.running,
                hold,
                stream,
                keeper,
                ResponsePrelude(stream, prompted.listed, approved),
                request.max_tool_calls or MOST_CALLS,
                frozenset(prompted.tools.mcp_names.values()),
            )
            answer = HostedAnswer(context, self.encoding, stream, loop)
            if not approved:
                await answer.start()
        except BaseException:
            hold.close()
            raise
        return answer

    def _approved(self, prompted: Prompted) -> tuple[ApprovedCall, ...]:
        """The calls that the client allowed; nobody runs them without tools."""
        if self.tools is None:
            return ()
        return approved_calls(prompted.context.items, prompted.own.items, prompted.tools)

    def _to_setup(self, tools: ToolTable) -> StreamSetup:
        context, request = self.context, self.request
        has_summary = request.summary is not None and context.config.reasoning_summary == "on"
        return StreamSetup(
            tools=tools.names,
            max_tool_calls=request.max_tool_calls,
            make_id=new_id,
            clock=time.time,
            token_bytes=self.encoding.token_bytes,
            seal=make_seal(context).seal_reasoning if request.wants_encrypted else None,
            has_summary=has_summary,
            has_logprobs=request.wants_logprobs,
            hosted=HostedSetup() if self.tools is None else self.tools.setup,
        )
