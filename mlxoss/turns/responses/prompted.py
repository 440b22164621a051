"""A request with everything its prompt is made of, looked up."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace

from mlxoss.api.history.replay import ExactTurns
from mlxoss.api.responses.hosted.mcp_lists import listed_servers
from mlxoss.api.responses.hosted.trail import fill_in, sealed_rounds
from mlxoss.api.responses.items import Item
from mlxoss.api.responses.items_to_prompt import issued_call_ids
from mlxoss.api.responses.prompt import PromptItems, to_conversation
from mlxoss.api.responses.request import PromptFields
from mlxoss.api.responses.tool_table import ToolTable
from mlxoss.api.responses.tools import read_tools
from mlxoss.harmony.encoding import Encoding
from mlxoss.harmony.prompt import render_prompt
from mlxoss.outcomes import McpToolList
from mlxoss.turns.context import TurnContext
from mlxoss.turns.hosted.request_tools import to_offer
from mlxoss.turns.recall import from_stored, make_seal, to_exact_turns, turns_of_calls
from mlxoss.turns.responses.context import (
    ConversationContext,
    InputItems,
    LocalResponse,
    PromptOrigin,
    load_context,
    load_input,
)
from mlxoss.turns.responses.hosted import list_servers


@dataclass(frozen=True, slots=True)
class Prompted:
    """A request with everything its prompt is made of.

    ``listed`` is what MCP servers of which the conversation knew nothing said that they offer.
    """

    tools: ToolTable
    context: ConversationContext
    own: InputItems
    contents: PromptItems
    listed: Mapping[str, McpToolList]

    @property
    def items(self) -> tuple[Item, ...]:
        """The conversation's items, the request's own last."""
        return (*self.context.items, *self.own.items)


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
    own = replace(own, items=fill_in(own.items, make_seal(context)))
    first_of_input = len(earlier.items)
    items = (*earlier.items, *own.items)
    listed = await list_servers(context, request, items)
    tools = read_tools(
        request.tools,
        items,
        first_of_input=first_of_input,
        offer=to_offer(context.tools),
        mcp={**listed_servers(items), **listed},
    )
    # A conversation keeps the items of responses that are not stored, but not their turns.
    with_calls = items if request.conversation else own.items
    unstored = await turns_of_calls(storage.volatile, issued_call_ids(with_calls))
    own = replace(own, turns=(*own.turns, *unstored))
    contents = to_contents(context, encoding, earlier, own)
    return Prompted(tools, earlier, own, contents, listed)


def to_contents(
    context: TurnContext, encoding: Encoding, earlier: ConversationContext, own: InputItems
) -> PromptItems:
    """The two together, as the prompt takes them."""
    seal = make_seal(context)
    kept = map(from_stored, (*earlier.turns, *own.turns))
    turns: ExactTurns = to_exact_turns(
        encoding, (*sealed_rounds((*earlier.items, *own.items), seal), *kept)
    )
    return PromptItems(
        history=earlier.items,
        items=own.items,
        turns=turns,
        seal=seal,
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
