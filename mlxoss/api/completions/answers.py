"""Shapes of what ``POST /v1/completions`` answers."""

from __future__ import annotations

from typing import Literal, NotRequired

from typing_extensions import TypedDict

from mlxoss.api.answers import PromptProgressReport
from mlxoss.api.common import CompletionUsage

FinishWord = Literal["stop", "length"]


class CompletionLogprobs(TypedDict):
    """Of each token: its text, how likely it was, the likeliest there, where its text begins."""

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]
    text_offset: list[int]


class CompletionChoice(TypedDict):
    """One of the completions, or more of it."""

    index: int
    text: str
    logprobs: CompletionLogprobs | None
    finish_reason: FinishWord | None


class Completion(TypedDict):
    """The answer, or one event of the stream; the last has no choices if it has the usage."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: NotRequired[CompletionUsage | None]
    prompt_progress: NotRequired[PromptProgressReport]
