"""Shapes of what ``POST /v1/completions`` answers, for ``/openapi.json``."""

from __future__ import annotations

from typing import Literal

from mlxoss.api.answers import Answer, maybe_absent
from mlxoss.api.common import CompletionUsage


class CompletionLogprobs(Answer):
    """Of each token: its text, how likely it was, the likeliest there, where its text begins."""

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]
    text_offset: list[int]


class CompletionChoice(Answer):
    """One of the completions, or more of it."""

    index: int
    text: str
    logprobs: CompletionLogprobs | None
    finish_reason: Literal["stop", "length"] | None


class Completion(Answer):
    """The answer, or one event of the stream; the last has no choices if it has the usage."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: CompletionUsage | None = maybe_absent()
