"""From a validated chat request to Harmony's conversation and the engine's parameters."""

from __future__ import annotations

import datetime

from mlxoss.api.chat_messages import to_items
from mlxoss.api.chat_request import ChatRequest, ResponseFormatParam, Tool
from mlxoss.api.exact_turns import ExactTurns
from mlxoss.api.fields import json_object_format, missing, to_effort
from mlxoss.api.sampling import to_sampling
from mlxoss.api.tool_choice import read_tool_choice
from mlxoss.api.turn_request import TurnRequest
from mlxoss.api.turn_rules import function_rule, needs_guard, to_turn_rules
from mlxoss.core import Effort
from mlxoss.errors import InvalidRequest
from mlxoss.harmony.conversation import Conversation, FunctionTool, ResponseFormat
from mlxoss.harmony.rules import CallRule

_STRICT_PARAM = "response_format.json_schema.strict"


def to_turn_request(
    request: ChatRequest, *, date: datetime.date, turns: ExactTurns | None = None
) -> TurnRequest:
    """Convert; raises InvalidRequest, naming the field, for what only the content shows.

    ``turns`` are the exact turns known for ``issued_call_ids(request.messages)``.
    """
    instructions, items = to_items(request.messages, turns)
    response_format = _to_response_format(request.response_format)
    declared = _to_call_rules(request.tools or [])
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
        needs_guard=needs_guard(
            choice,
            declared,
            _STRICT_PARAM if _is_strict(request.response_format) else None,
        ),
    )


def to_tools(tools: list[Tool]) -> tuple[FunctionTool, ...]:
    """Declared functions; two of the same name are refused."""
    seen: set[str] = set()
    for position, tool in enumerate(tools):
        if tool.function.name in seen:
            raise InvalidRequest(
                f"Invalid 'tools': the function '{tool.function.name}' is declared twice.",
                param=f"tools[{position}].function.name",
                code="invalid_value",
            )
        seen.add(tool.function.name)
    return tuple(
        FunctionTool(tool.function.name, tool.function.description, tool.function.parameters)
        for tool in tools
    )


def _to_call_rules(tools: list[Tool]) -> list[CallRule]:
    return [
        function_rule(
            tool.function.name,
            tool.function.parameters,
            strict=tool.function.strict,
            param=f"tools[{position}].function.parameters",
        )
        for position, tool in enumerate(tools)
    ]


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
