"""What chat completions and completions share, and messages in part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from mlxoss.api.turn_request import Usage
from mlxoss.api.validation import StrictModel

MAX_CHOICES = 128
MAX_STOPS = 16


def to_parts(value: Any) -> Any:
    """Text as the one part of a content, before that is validated."""
    if isinstance(value, str):
        return [{"type": "text", "text": value}]
    if value is None or isinstance(value, list):
        return value
    raise PydanticCustomError(
        "content_type", "input should be a string or an array of content parts"
    )


def _to_stops(value: Any) -> Any:
    """``stop`` as a list, before it is validated."""
    if isinstance(value, str):
        return [value]
    if value is None or isinstance(value, list):
        return value
    raise PydanticCustomError("stop_type", "input should be a string or an array of strings")


Stops = Annotated[list[Annotated[str, Field(min_length=1)]], Field(max_length=MAX_STOPS)]
StopField = Annotated[
    Stops | None, BeforeValidator(_to_stops, json_schema_input_type=str | list[str] | None)
]
"""``stop``, which may be one text."""


class UsageOptions(StrictModel):
    """``stream_options``."""

    include_usage: bool | None = None


@dataclass(frozen=True, slots=True)
class CompletionHeader:
    """What every chunk of a completion repeats. ``created`` is a Unix time in seconds."""

    id: str
    created: int
    model: str


class CachedTokens(TypedDict):
    """Of a prompt's tokens those that were not computed anew."""

    cached_tokens: int


class ReasoningTokens(TypedDict):
    """Of an answer's tokens those of its reasoning."""

    reasoning_tokens: int


class CompletionUsage(TypedDict):
    """Token counts; completion tokens of all choices."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: CachedTokens
    completion_tokens_details: ReasoningTokens


def to_usage(usage: Usage) -> CompletionUsage:
    """OpenAI's ``usage`` object."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }
