"""The requests of Ollama's endpoints: their fields, types and ranges.

Sources: Ollama's API reference (chat, generate, show) and the types of its clients.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from mlxoss.api.chat.tools import FunctionDefinition
from mlxoss.api.common import StopField
from mlxoss.api.errors import invalid, missing, unsupported
from mlxoss.api.other_fields import OLLAMA, refuse_other_fields
from mlxoss.api.params import EffortWord, FunctionName, Temperature, TopLogprobs, TopP
from mlxoss.api.sampling import MinP, Penalty, RepetitionPenalty, TopK
from mlxoss.api.validation import StrictModel, validate
from mlxoss.core import JsonObject

_PENALTIES = {"repeat_penalty": 1, "presence_penalty": 0, "frequency_penalty": 0}
"""The penalties, and the values that ask for nothing."""

_WHOLE_ANSWER = -1

_DURATION = re.compile(r"([+-]?(0|((\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h))+))?", re.ASCII)
"""Source: Go's ``time.ParseDuration``, by which Ollama reads it; empty it says nothing."""

IsStream = Annotated[
    bool,
    BeforeValidator(
        lambda value: True if value is None else value, json_schema_input_type=bool | None
    ),
]
"""Ollama's ``stream``, which is on unless it is off."""

KeepAlive = float | str


class OllamaOptions(StrictModel):
    """``options``. Those that say how the server runs the model are accepted and change nothing."""

    temperature: Temperature | None = None
    top_p: TopP | None = None
    top_k: TopK | None = None
    min_p: MinP | None = None
    seed: int | None = None
    stop: StopField = None
    num_predict: Annotated[int, Field(ge=-2)] | None = None
    repeat_penalty: RepetitionPenalty | None = None
    repeat_last_n: int | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    num_ctx: Annotated[int, Field(ge=0)] | None = None


class OllamaCalledFunction(StrictModel):
    """A call's function."""

    name: FunctionName
    arguments: JsonObject = Field(default_factory=dict)


class OllamaToolCall(StrictModel):
    """A call in an earlier message. Older clients of Ollama's drop its ``id``."""

    id: Annotated[str, Field(min_length=1)] | None = None
    function: OllamaCalledFunction


class OllamaMessageParam(StrictModel):
    """A message of any role. A tool's answer names its call, or its tool, or neither."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | None = None
    thinking: str | None = None
    images: list[str] | None = None
    tool_calls: list[OllamaToolCall] | None = None
    tool_name: FunctionName | None = None
    name: FunctionName | None = None
    tool_call_id: str | None = None


class OllamaTool(StrictModel):
    """A declared tool."""

    type: Literal["function"] = "function"
    function: FunctionDefinition


class OllamaChatRequest(StrictModel):
    """The request of ``POST /api/chat``. Without messages it loads or unloads the model."""

    model: str
    messages: list[OllamaMessageParam] | None = None
    stream: IsStream = True
    format: Literal["", "json"] | JsonObject | None = None
    think: bool | EffortWord | None = None
    tools: list[OllamaTool] | None = None
    options: OllamaOptions | None = None
    keep_alive: KeepAlive | None = None
    logprobs: bool | None = None
    top_logprobs: TopLogprobs | None = None


class OllamaGenerateRequest(StrictModel):
    """The request of ``POST /api/generate``, which loads or unloads the model."""

    model: str
    prompt: str | None = None
    keep_alive: KeepAlive | None = None


class OllamaShowRequest(StrictModel):
    """The request of ``POST /api/show``; whatever the name, there is one model."""

    model: str | None = None
    name: str | None = None


def parse_ollama_chat(value: JsonObject) -> OllamaChatRequest:
    """Validate a chat. Raises InvalidRequest for the first field that cannot be honoured."""
    refuse_other_fields(value, OLLAMA, OllamaChatRequest)
    _check_format(value.get("format"))
    _check_keep_alive(value.get("keep_alive"))
    options: Any = value.get("options")
    if isinstance(options, dict):
        refuse_other_fields(options, OLLAMA, OllamaOptions, within="options.")
    request = validate(OllamaChatRequest, value)
    if request.options is not None:
        _check_penalties(request.options)
    return request


def parse_ollama_generate(value: JsonObject) -> OllamaGenerateRequest:
    """Validate what loads or unloads the model. Raises InvalidRequest for a prompt."""
    _check_keep_alive(value.get("keep_alive"))
    request = validate(OllamaGenerateRequest, value)
    if request.prompt:
        raise unsupported(
            "prompt", "without one this loads or unloads the model; for an answer use /api/chat"
        )
    return request


def parse_ollama_show(value: JsonObject) -> OllamaShowRequest:
    """Validate which model is asked for. Raises InvalidRequest where none is."""
    request = validate(OllamaShowRequest, value)
    if not (request.model or request.name):
        raise missing("model")
    return request


def asks_to_unload(keep_alive: KeepAlive | None) -> bool:
    """Whether the model is to leave the memory at once: 0 in any unit."""
    if isinstance(keep_alive, str):
        return bool(keep_alive) and not re.search("[1-9]", keep_alive)
    return keep_alive == 0


def _check_format(value: object) -> None:
    """Types of unions have names of their own in validation's errors; here is the field's."""
    if not (value in (None, "", "json") or isinstance(value, dict)):
        raise invalid("format", "it should be 'json' or a JSON schema")


def _check_keep_alive(value: object) -> None:
    is_word = isinstance(value, str) and _DURATION.fullmatch(value)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not (value is None or is_word or is_number):
        raise invalid("keep_alive", "it should be a number of seconds, or a duration as '5m'")


def _check_penalties(options: OllamaOptions) -> None:
    """They count the whole answer, so a window of its last tokens cannot be honoured."""
    if options.repeat_last_n in (None, _WHOLE_ANSWER):
        return
    for name, nothing in _PENALTIES.items():
        if getattr(options, name) not in (None, nothing):
            raise unsupported(
                "options.repeat_last_n", f"{name} counts the whole answer here, which is -1"
            )
