"""From a validated chat request to Harmony's conversation and the engine's parameters."""

from __future__ import annotations

import datetime

from mlxoss.api.chat.answer_form import read_answer_form
from mlxoss.api.chat.items import to_items
from mlxoss.api.chat.request import ChatRequest
from mlxoss.api.chat.tools import to_call_rules, to_tools
from mlxoss.api.history.replay import ExactTurns
from mlxoss.api.params import to_effort, to_verbosity_line
from mlxoss.api.sampling import to_sampling
from mlxoss.api.tool_choice import read_tool_choice
from mlxoss.api.turn_request import TurnRequest
from mlxoss.api.turn_rules import needs_grammar, to_turn_rules
from mlxoss.core import Effort
from mlxoss.harmony.conversation import Conversation

_SEPARATOR = "\n\n"


def to_turn_request(
    request: ChatRequest, *, date: datetime.date, turns: ExactTurns | None = None
) -> TurnRequest:
    """Convert; raises InvalidRequest, naming the field, for what only the content shows.

    ``turns`` are the exact turns known for ``issued_call_ids(request.messages)``.
    """
    leading, items = to_items(request.messages, turns)
    instructions = [text for text in (leading, to_verbosity_line(request.verbosity)) if text]
    form = read_answer_form(request)
    declared = to_call_rules(request.tools or [])
    choice = read_tool_choice(request.tool_choice, declared)
    conversation = Conversation(
        items=items,
        date=date,
        instructions=_SEPARATOR.join(instructions) or None,
        tools=() if request.tool_choice == "none" else to_tools(request.tools or []),
        response_format=form.shown,
        effort=_to_effort(request),
    )
    return TurnRequest(
        conversation=conversation,
        sampling=to_sampling(request, logprobs=bool(request.logprobs)),
        prompt_param="messages",
        max_tokens=request.max_completion_tokens or request.max_tokens,
        choices=request.n or 1,
        stops=tuple(request.stop or ()),
        single_call=request.parallel_tool_calls is False,
        rules=to_turn_rules(
            choice,
            form.body,
            parallel_calls=request.parallel_tool_calls,
            final_param=form.param,
        ),
        needs_grammar=needs_grammar(choice, declared, form.grammar_param),
        cache_key=request.prompt_cache_key,
    )


def _to_effort(request: ChatRequest) -> Effort:
    reasoning, template = request.reasoning, request.chat_template_kwargs
    word = (
        request.reasoning_effort
        or (reasoning and reasoning.effort)
        or (template and template.reasoning_effort)
    )
    return to_effort(word or None)
