"""From a validated chat request to Harmony's conversation and the engine's parameters."""

from __future__ import annotations

import datetime
import hashlib
from types import MappingProxyType

from mlxoss.api.chat_messages import to_items
from mlxoss.api.chat_request import ChatRequest, ResponseFormatParam, Tool
from mlxoss.api.fields import json_object_format, missing, to_effort
from mlxoss.api.turn_request import TurnRequest
from mlxoss.core import Effort, SamplingParams
from mlxoss.errors import InvalidRequest
from mlxoss.harmony.conversation import Conversation, FunctionTool, ResponseFormat

_SEED_BITS = 64


def to_turn_request(request: ChatRequest, *, date: datetime.date) -> TurnRequest:
    """Convert; raises InvalidRequest, naming the field, for what only the content shows."""
    instructions, items = to_items(request.messages)
    conversation = Conversation(
        items=items,
        date=date,
        instructions=instructions,
        tools=() if request.tool_choice == "none" else to_tools(request.tools or []),
        response_format=_to_response_format(request.response_format),
        effort=_to_effort(request),
    )
    return TurnRequest(
        conversation=conversation,
        sampling=_to_sampling(request),
        prompt_param="messages",
        max_tokens=request.max_completion_tokens or request.max_tokens,
        choices=request.n or 1,
        stops=tuple(request.stop or ()),
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


def fold_seed(seed: int) -> int:
    """Any integer as one of 64 bits, the same one each time.

    What fits is kept (negatives as two's complement), so that small seeds stay
    themselves; what does not is hashed.
    """
    size = 1 << _SEED_BITS
    if -size // 2 <= seed < size:
        return seed % size
    length = seed.bit_length() // 8 + 1
    digest = hashlib.blake2b(
        seed.to_bytes(length, "big", signed=True), digest_size=_SEED_BITS // 8
    ).digest()
    return int.from_bytes(digest, "big")


def _to_sampling(request: ChatRequest) -> SamplingParams:
    defaults = SamplingParams()
    wanted = {
        "temperature": request.temperature,
        "top_p": request.top_p,
        "min_p": request.min_p,
        "presence_penalty": request.presence_penalty,
        "frequency_penalty": request.frequency_penalty,
        "repetition_penalty": request.repetition_penalty,
    }
    bias = {int(key): value for key, value in (request.logit_bias or {}).items()}
    return SamplingParams(
        **{name: getattr(defaults, name) if v is None else v for name, v in wanted.items()},
        top_k=max(request.top_k or 0, 0),
        logit_bias=MappingProxyType(bias),
        seed=None if request.seed is None else fold_seed(request.seed),
        top_logprobs=(request.top_logprobs or 0) if request.logprobs else None,
    )


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
