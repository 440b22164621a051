"""From a request to a response whose turn is in the engine."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, replace

from mlxoss.api.history.replay import ExactTurns
from mlxoss.api.responses.items_to_prompt import issued_call_ids
from mlxoss.api.responses.object import ResponseHeader, ResponseShape
from mlxoss.api.responses.prompt import PromptItems, to_conversation, to_turn_request
from mlxoss.api.responses.request import PromptFields, ResponsesRequest
from mlxoss.api.responses.stream import ResponsesStream, StreamSetup
from mlxoss.api.responses.tools import ToolTable, read_tools
from mlxoss.harmony.encoding import Encoding
from mlxoss.harmony.prompt import render_prompt
from mlxoss.ids import new_id
from mlxoss.turns.answer import TurnAnswer
from mlxoss.turns.context import Caller, TurnContext
from mlxoss.turns.recall import make_seal, to_exact_turns, turns_of_calls
from mlxoss.turns.responses.context import (
    ConversationContext,
    InputItems,
    LocalResponse,
    PromptOrigin,
    load_context,
    load_input,
)
from mlxoss.turns.responses.run import ResponseKeeper, ResponseRun
from mlxoss.turns.start import start_turn

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Prompted:
    """A request with everything its prompt is made of."""

    tools: ToolTable
    context: ConversationContext
    own: InputItems
    contents: PromptItems


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
    # On another thread: reading long exact turns back takes a while, and streams go on meanwhile.
    turn_request = await asyncio.to_thread(
        to_turn_request, request, prompted.tools, prompted.contents
    )
    turn = await start_turn(context, encoding, turn_request, caller.key)
    turn.tells_progress = bool(request.return_progress)
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
    return ResponseRun(TurnAnswer(context, encoding, turn, stream, keeper), stream, keeper)


async def load_prompt(
    context: TurnContext,
    request: PromptFields,
    encoding: Encoding,
    local: LocalResponse | None = None,
) -> Prompted:
    """Look up what ``request`` goes on from. Raises InvalidRequest or NotFound."""
    origin = PromptOrigin(request.previous_response_id, request.conversation)
    storage = context.storage
    earlier = await load_context(storage.store, origin, context.date, local)
    own = await load_input(context, request.input or [], earlier)
    first_of_input = len(earlier.items)
    tools = read_tools(request.tools, (*earlier.items, *own.items), first_of_input=first_of_input)
    # A conversation keeps the items of responses that are not stored, but not their turns.
    with_calls = (*earlier.items, *own.items) if request.conversation else own.items
    unstored = await turns_of_calls(storage.volatile, issued_call_ids(with_calls))
    own = replace(own, turns=(*own.turns, *unstored))
    return Prompted(tools, earlier, own, to_contents(context, encoding, earlier, own))


def to_contents(
    context: TurnContext, encoding: Encoding, earlier: ConversationContext, own: InputItems
) -> PromptItems:
    """The two together, as the prompt takes them."""
    turns: ExactTurns = to_exact_turns(encoding, (*earlier.turns, *own.turns))
    return PromptItems(
        history=earlier.items,
        items=own.items,
        turns=turns,
        seal=make_seal(context),
        date=earlier.date,
    )


async def count_input_tokens(context: TurnContext, request: PromptFields) -> int:
    """The length of the prompt, to the token. Raises as ``load_prompt``."""
    encoding = await context.encoding.get()
    prompted = await load_prompt(context, request, encoding)
    # On another thread: a long prompt takes a tenth of a second, and streams go on meanwhile.
    return await asyncio.to_thread(_prompt_tokens, encoding, request, prompted)


def _prompt_tokens(encoding: Encoding, request: PromptFields, prompted: Prompted) -> int:
    conversation = to_conversation(request, prompted.tools, prompted.contents)
    return len(render_prompt(encoding, conversation))


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
