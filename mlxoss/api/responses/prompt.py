"""From a validated Responses request and its items to a turn."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from mlxoss.api.history.encrypted_content import ContentSeal
from mlxoss.api.history.replay import ExactTurns
from mlxoss.api.params import to_verbosity_line
from mlxoss.api.responses.items import Item
from mlxoss.api.responses.items_to_prompt import ToolsInItems, to_conversation_items
from mlxoss.api.responses.parse_items import check_items
from mlxoss.api.responses.request import CompactRequest, PromptFields, ResponsesRequest
from mlxoss.api.responses.tool_table import ToolTable
from mlxoss.api.sampling import to_sampling
from mlxoss.api.tool_choice import read_tool_choice
from mlxoss.api.turn_request import TurnRequest
from mlxoss.api.turn_rules import final_body, needs_grammar, to_turn_rules
from mlxoss.core import Effort, SamplingParams
from mlxoss.harmony.conversation import Conversation, UserText

_SEPARATOR = "\n\n"

_COMPACT = (
    "Write a summary of our conversation so far that can stand in for it when we go on. Keep "
    "what was asked, decided and done, every name, number, path and piece of code that is still "
    "needed, and what is left to do. Answer with the summary alone."
)


@dataclass(frozen=True, slots=True)
class PromptItems:
    """What a conversation is made of besides the request's own fields.

    ``history`` comes from the previous response or the conversation, ``items`` from the
    request's ``input``; ``turns`` are those whose exact ids are known; ``date`` is the
    conversation's.
    """

    history: Sequence[Item]
    items: Sequence[Item]
    turns: ExactTurns
    seal: ContentSeal
    date: datetime.date


def to_conversation(request: PromptFields, tools: ToolTable, contents: PromptItems) -> Conversation:
    """The conversation to answer; ``tools`` come from ``read_tools``.

    ``instructions`` are the request's alone: those of earlier responses are not
    inherited. Raises InvalidRequest that names the item at fault.
    """
    check_items(contents.history, contents.items)
    is_without = request.tool_choice == "none"
    leading, items = to_conversation_items(
        contents.history,
        contents.items,
        seal=contents.seal,
        turns=contents.turns,
        tools=ToolsInItems({} if is_without else tools.later, tools.client_run, tools.mcp_names),
    )
    verbosity = to_verbosity_line(request.text.verbosity if request.text else None)
    instructions = [text for text in (request.instructions, leading, verbosity) if text]
    return Conversation(
        items=items,
        date=contents.date,
        instructions=_SEPARATOR.join(instructions) or None,
        tools=() if is_without else tools.functions,
        builtins=() if is_without else tools.hosted.builtins,
        response_format=request.response_format,
        effort=request.effort,
    )


def to_turn_request(
    request: ResponsesRequest, tools: ToolTable, contents: PromptItems
) -> TurnRequest:
    """The turn that answers ``request``.

    Raises as :func:`to_conversation` and ``read_tool_choice``.
    """
    choice = read_tool_choice(request.tool_choice, tools.calls, tools.others)
    strict_param = "text.format.strict" if request.is_strict else None
    return TurnRequest(
        conversation=to_conversation(request, tools, contents),
        sampling=to_sampling(request, logprobs=request.wants_logprobs),
        prompt_param="input",
        max_tokens=request.max_output_tokens,
        truncate=request.truncation == "auto",
        single_call=request.parallel_tool_calls is False,
        rules=to_turn_rules(
            choice,
            final_body(request.response_format),
            parallel_calls=request.parallel_tool_calls,
            final_param="text.format.schema",
            builtins=tools.hosted.builtins,
        ),
        needs_grammar=needs_grammar(choice, tools.calls, strict_param, tools.others),
        is_background=bool(request.background),
        only_prompt=request.only_prompt,
        cache_key=request.prompt_cache_key,
    )


def to_compaction_turn(
    request: CompactRequest | ResponsesRequest, contents: PromptItems
) -> TurnRequest:
    """The turn whose final text is the summary of the conversation. Raises as above.

    The conversation's tools are not shown, so that the model can only write.
    """
    check_items(contents.history, contents.items)
    leading, items = to_conversation_items(
        contents.history, contents.items, seal=contents.seal, turns=contents.turns
    )
    instructions = [text for text in (request.instructions, leading) if text]
    conversation = Conversation(
        items=(*items, UserText(_COMPACT)),
        date=contents.date,
        instructions=_SEPARATOR.join(instructions) or None,
        effort=Effort.LOW,
    )
    return TurnRequest(
        conversation,
        SamplingParams(),
        prompt_param="input",
        truncate=True,
        is_background=isinstance(request, ResponsesRequest) and bool(request.background),
        cache_key=request.prompt_cache_key,
    )
