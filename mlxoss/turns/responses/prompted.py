"""A request with everything its prompt is made of, looked up."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from mlxoss.api.history.replay import ExactTurns
from mlxoss.api.responses.items_to_prompt import issued_call_ids
from mlxoss.api.responses.prompt import PromptItems, to_conversation
from mlxoss.api.responses.request import PromptFields
from mlxoss.api.responses.tool_table import ToolTable
from mlxoss.api.responses.tools import read_tools
from mlxoss.harmony.encoding import Encoding
from mlxoss.harmony.prompt import render_prompt
from mlxoss.turns.context import TurnContext
from mlxoss.turns.recall import make_seal, to_exact_turns, turns_of_calls
from mlxoss.turns.responses.context import (
    ConversationContext,
    InputItems,
    LocalResponse,
    PromptOrigin,
    load_context,
    load_input,
)


@dataclass(frozen=True, slots=True)
class Prompted:
    """A request with everything its prompt is made of."""

    tools: ToolTable
    context: ConversationContext
    own: InputItems
    contents: PromptItems


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
    return await count_tokens(encoding, request, await load_prompt(context, request, encoding))


async def count_tokens(encoding: Encoding, request: PromptFields, prompted: Prompted) -> int:
    """The same of one that was looked up."""
    # On another thread: a long prompt takes a tenth of a second, and streams go on meanwhile.
    return await asyncio.to_thread(_prompt_tokens, encoding, request, prompted)


def _prompt_tokens(encoding: Encoding, request: PromptFields, prompted: Prompted) -> int:
    conversation = to_conversation(request, prompted.tools, prompted.contents)
    return len(render_prompt(encoding, conversation))
