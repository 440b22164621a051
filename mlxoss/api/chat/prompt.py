"""From a validated chat request to Harmony's conversation and the engine's parameters."""

from __future__ import annotations

import datetime

from mlxoss.api.chat.items import to_items
from mlxoss.api.chat.request import ChatRequest, ResponseFormatParam
from mlxoss.api.chat.tools import to_call_rules, to_tools
from mlxoss.api.errors import missing
from mlxoss.api.params import json_object_format, to_effort
from mlxoss.api.replay import ExactTurns
from mlxoss.api.sampling import to_sampling
from mlxoss.api.tool_choice import read_tool_choice
from mlxoss.api.turn_request import TurnRequest
from mlxoss.api.turn_rules import needs_grammar, to_turn_rules
from mlxoss.core import Effort
from mlxoss.harmony.conversation import Conversation, ResponseFormat

_STRICT_PARAM = "response_format.json_schema.strict"


def to_turn_request(
    request: ChatRequest, *, date: datetime.date, turns: ExactTurns | None = None
) -> TurnRequest:
    """Convert; raises InvalidRequest, naming the field, for what only the content shows.

    ``turns`` are the exact turns known for ``issued_call_ids(request.messages)``.
    """
    instructions, items = to_items(request.messages, turns)
    response_format = _to_response_format(request.response_format)
    declared = to_call_rules(request.tools or [])
    choice = read_tool_choice(request.tool_choice, declared)
    conversation = Conversation(
        items=items,
        date=date,
        instructions=instructions,
        tools=() if request.tool_choice == "none" else to_tools(request.tools or []),
        response_format=response_format,
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
            response_format,
            parallel_calls=request.parallel_tool_calls,
            format_param="response_format.json_schema.schema",
        ),
        needs_grammar=needs_grammar(
            choice,
            declared,
            _STRICT_PARAM if _is_strict(request.response_format) else None,
        ),
    )


def _is_strict(wanted: ResponseFormatParam | None) -> bool:
    return bool(wanted and wanted.json_schema and wanted.json_schema.strict)


def _to_effort(request: ChatRequest) -> Effort:
    reasoning, template = request.reasoning, request.chat_template_kwargs
    word = (
        request.reasoning_effort
        or (reasoning and reasoning.effort)
        or (template and template.reasoning_effort)
    )
    return to_effort(word or None)


def _to_response_format(wanted: ResponseFormatParam | None) -> ResponseFormat | None:
    if wanted is None or wanted.type == "text":
        return None
    if wanted.type == "json_object":
        return json_object_format()
    schema = wanted.json_schema
    if schema is None:
        raise missing("response_format.json_schema")
    return ResponseFormat(schema.name, schema.schema_, schema.description)
