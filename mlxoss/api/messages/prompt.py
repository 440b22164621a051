"""From a validated Messages request to Harmony's conversation and the engine's parameters."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any

from mlxoss.api.errors import invalid
from mlxoss.api.history.encrypted_content import ContentSeal
from mlxoss.api.history.replay import ExactTurns
from mlxoss.api.history.tool_course import ToolCourse
from mlxoss.api.messages.blocks import in_turns
from mlxoss.api.messages.items import to_instructions, to_items
from mlxoss.api.messages.request import (
    MessagesPromptFields,
    MessagesRequest,
    MessagesToolChoice,
    Thinking,
)
from mlxoss.api.messages.tools import follow
from mlxoss.api.params import to_effort
from mlxoss.api.sampling import to_sampling
from mlxoss.api.tool_choice import ToolChoice, read_tool_choice
from mlxoss.api.turn_request import TurnRequest
from mlxoss.api.turn_rules import final_body, needs_grammar, to_turn_rules
from mlxoss.core import Effort
from mlxoss.harmony.conversation import Conversation, ResponseFormat

_LOW_BUDGET_TOKENS = 4096
_MEDIUM_BUDGET_TOKENS = 16384
_FORMAT_NAME = "output"


@dataclass(frozen=True, slots=True)
class Recalled:
    """What a server knows besides the request: exact turns, the seal of thinking, the date."""

    turns: ExactTurns
    seal: ContentSeal
    date: datetime.date


def to_conversation(request: MessagesPromptFields, known: Recalled) -> Conversation:
    """The conversation to answer. Raises InvalidRequest that names the block at fault."""
    return _to_conversation(request, known, _follow_tools(request))


def to_turn_request(request: MessagesRequest, known: Recalled) -> TurnRequest:
    """The turn that answers ``request``. Raises as above and as ``read_tool_choice``."""
    tools = _follow_tools(request)
    conversation = _to_conversation(request, known, tools)
    choice = _read_choice(request.tool_choice, tools)
    is_single = bool(request.tool_choice and request.tool_choice.disable_parallel_tool_use)
    wanted, param = request.format_and_param
    return TurnRequest(
        conversation=conversation,
        sampling=to_sampling(request, logprobs=False),
        prompt_param="messages",
        max_tokens=request.max_tokens,
        stops=tuple(request.stop_sequences or ()),
        single_call=is_single,
        rules=to_turn_rules(
            choice,
            final_body(conversation.response_format),
            parallel_calls=not is_single,
            final_param=f"{param}.schema",
        ),
        needs_grammar=needs_grammar(choice, tools.calls, param if wanted else None),
    )


def _follow_tools(request: MessagesPromptFields) -> ToolCourse:
    return follow(request.tools or (), list(in_turns(request.messages)), request.chosen_tool)


def _to_conversation(
    request: MessagesPromptFields, known: Recalled, tools: ToolCourse
) -> Conversation:
    is_without = request.tool_choice is not None and request.tool_choice.type == "none"
    shown = tools.hidden() if is_without else tools
    return Conversation(
        items=to_items(request.messages, seal=known.seal, turns=known.turns, tools=shown),
        date=known.date,
        instructions=to_instructions(request.system),
        tools=shown.first,
        response_format=_to_response_format(request),
        effort=_to_effort(request),
    )


def _read_choice(wanted: MessagesToolChoice | None, tools: ToolCourse) -> ToolChoice:
    """Anthropic's words in OpenAI's."""
    value: Any = wanted and wanted.type
    match value:
        case "any":
            value = "required"
        case "tool":
            assert wanted is not None
            if wanted.name in tools.known - {call.name for call in tools.calls}:
                raise invalid("tool_choice.name", f"a message removed the tool '{wanted.name}'")
            value = {"type": "function", "name": wanted.name}
    return read_tool_choice(value, tools.calls)


def _to_response_format(request: MessagesPromptFields) -> ResponseFormat | None:
    wanted, _ = request.format_and_param
    return None if wanted is None else ResponseFormat(_FORMAT_NAME, wanted.schema_)


def _to_effort(request: MessagesPromptFields) -> Effort:
    """``output_config.effort``, else as long as the budget of the thinking is.

    gpt-oss always reasons: what disables thinking makes it short, and keeps it out of the answer.
    """
    if request.output_config is not None and request.output_config.effort is not None:
        return to_effort(request.output_config.effort)
    match request.thinking:
        case Thinking(type="disabled"):
            return Effort.LOW
        case Thinking(type="enabled", budget_tokens=int(budget)):
            if budget < _LOW_BUDGET_TOKENS:
                return Effort.LOW
            return Effort.MEDIUM if budget < _MEDIUM_BUDGET_TOKENS else Effort.HIGH
        case _:
            return Effort.MEDIUM
