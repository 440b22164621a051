"""The request of ``POST /v1/completions``: its fields, types and ranges.

Source: OpenAI's API reference (completions).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field

from mlxoss.api.common import MAX_CHOICES, StopField, UsageOptions
from mlxoss.api.errors import invalid, missing, unsupported
from mlxoss.api.other_fields import COMPLETIONS, refuse_other_fields
from mlxoss.api.params import Refused
from mlxoss.api.progress import check_progress
from mlxoss.api.sampling import SamplingFields, check_sampling
from mlxoss.api.validation import read_later, validate
from mlxoss.core import VOCAB_SIZE, JsonObject

MAX_PROMPTS = 128
DEFAULT_MAX_TOKENS = 16
MOST_LOGPROBS = 5

Prompt = str | tuple[int, ...]
"""Text, all of it ordinary, or the very ids."""


class CompletionRequest(SamplingFields):
    """The whole request. ``None`` means the default everywhere, as in OpenAI's API."""

    model: str
    prompt: Annotated[Any, read_later(str | list[str] | list[int] | list[list[int]])]
    stream: bool | None = None
    stream_options: UsageOptions | None = None
    return_progress: bool | None = None
    n: Annotated[int, Field(ge=1, le=MAX_CHOICES)] | None = None
    best_of: int | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    stop: StopField = None
    logprobs: Annotated[int, Field(ge=0, le=MOST_LOGPROBS)] | None = None
    echo: bool | None = None
    suffix: Refused = None


def parse_completion_request(value: JsonObject) -> CompletionRequest:
    """Validate a request. Raises InvalidRequest for the first field that cannot be honoured."""
    refuse_other_fields(value, COMPLETIONS, CompletionRequest)
    request = validate(CompletionRequest, value)
    check_sampling(request)
    if request.stream_options is not None and not request.stream:
        raise invalid("stream_options", "it is only allowed when 'stream' is true")
    check_progress(is_wanted=request.return_progress, is_stream=request.stream)
    if request.best_of not in (None, request.n or 1):
        raise unsupported("best_of", "every completion is returned: it has to equal 'n'")
    if request.suffix is not None:
        raise unsupported("suffix", "this model does not fill in a middle")
    if request.top_logprobs is not None:
        raise unsupported("top_logprobs", "use 'logprobs', a number here")
    if request.echo and request.logprobs is not None:
        raise unsupported("echo", "a prompt has no log probabilities here")
    return request


def to_prompts(value: object) -> tuple[Prompt, ...]:
    """The prompts of ``prompt``. Raises InvalidRequest for anything but its four forms."""
    match value:
        case None:
            raise missing("prompt")
        case str():
            return (value,)
        case [int(), *_]:
            return (_to_ids(value, "prompt"),)
        case [_, *_] if len(value) <= MAX_PROMPTS:
            return tuple(_to_prompt(one, f"prompt[{i}]") for i, one in enumerate(value))
    raise invalid(
        "prompt",
        f"it should be text, token ids, or an array of 1 to {MAX_PROMPTS} of either",
    )


def _to_prompt(value: object, param: str) -> Prompt:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value:
        return _to_ids(value, param)
    raise invalid(param, "it should be text or token ids")


def _to_ids(value: Sequence[object], param: str) -> tuple[int, ...]:
    return tuple(_to_id(one, f"{param}[{position}]") for position, one in enumerate(value))


def _to_id(value: object, param: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < VOCAB_SIZE:
        return value
    raise invalid(param, f"a token id is an integer from 0 to {VOCAB_SIZE - 1}")
