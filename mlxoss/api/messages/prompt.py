"""From a validated Messages request to Harmony's conversation and the engine's parameters."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mlxoss.api.history.encrypted_content import ContentSeal
from mlxoss.api.history.replay import ExactTurns
from mlxoss.api.messages.items import to_instructions, to_items
from mlxoss.api.messages.request import (
    MessagesPromptFields,
    MessagesRequest,
    MessagesToolChoice,
    Thinking,
)
from mlxoss.api.params import to_effort
from mlxoss.api.sampling import to_sampling
from mlxoss.api.tool_choice import ToolChoice, read_tool_choice
from mlxoss.api.turn_request import TurnRequest
from mlxoss.api.turn_rules import final_body, needs_grammar, to_turn_rules
from mlxoss.core import Effort
from mlxoss.harmony.conversation import Conversation, ResponseFormat
from mlxoss.harmony.grammar.rules import CallRule

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
    tools = request.tools or []
    is_without = request.tool_choice is not None and request.tool_choice.type == "none"
    return Conversation(
        items=to_items(request.messages, seal=known.seal, turns=known.turns),
        date=known.date,
        instructions=to_instructions(request.system),
        tools=() if is_without else tuple(tool.to_function() for tool in tools),
        response_format=_to_response_format(request),
        effort=_to_effort(request),
    )


def to_turn_request(request: MessagesRequest, known: Recalled) -> TurnRequest:
    """The turn that answers ``request``. Raises as above and as ``read_tool_choice``."""
    conversation = to_conversation(request, known)
    declared = [tool.to_rule(f"tools[{i}]") for i, tool in enumerate(request.tools or ())]
    choice = _read_choice(request.tool_choice, declared)
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
        needs_grammar=needs_grammar(choice, declared, param if wanted else None),
    )


def _read_choice(wanted: MessagesToolChoice | None, declared: Sequence[CallRule]) -> ToolChoice:
    """Anthropic's words in OpenAI's."""
    value: Any = wanted and wanted.type
    match value:
        case "any":
            value = "required"
        case "tool":
            assert wanted is not None
            value = {"type": "function", "name": wanted.name}
    return read_tool_choice(value, declared)


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
