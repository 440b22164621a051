"""Shapes of what ``POST /v1/chat/completions`` answers, for ``/openapi.json``."""

from __future__ import annotations

from typing import Literal

from mlxoss.api.answers import Answer, TokenLogprob, maybe_absent
from mlxoss.api.common import CompletionUsage

FinishReason = Literal["stop", "length", "tool_calls"]
CallType = Literal["function", "custom"]


class ChoiceLogprobs(Answer):
    """Of the final text's tokens."""

    content: list[TokenLogprob]
    refusal: None


class ChatFunctionCall(Answer):
    """The function that a call names."""

    name: str
    arguments: str


class ChatCustomCall(Answer):
    """The custom tool that a call names."""

    name: str
    input: str


class ChatToolCall(Answer):
    """A call; the member that its type names is there."""

    id: str
    type: CallType
    function: ChatFunctionCall = maybe_absent()
    custom: ChatCustomCall = maybe_absent()


class ChatMessage(Answer):
    """A whole answer of the model."""

    role: Literal["assistant"]
    content: str | None
    refusal: None
    reasoning: str | None
    reasoning_content: str | None
    tool_calls: list[ChatToolCall] = maybe_absent()


class ChatChoice(Answer):
    """One of the answers."""

    index: int
    message: ChatMessage
    logprobs: ChoiceLogprobs | None
    finish_reason: FinishReason


class ChatCompletion(Answer):
    """The answer when it is not streamed."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[ChatChoice]
    usage: CompletionUsage


class FunctionDelta(Answer):
    """A function call's beginning, or more of its arguments."""

    name: str = maybe_absent()
    arguments: str


class CustomDelta(Answer):
    """A custom call's beginning, or more of its input."""

    name: str = maybe_absent()
    input: str


class CallDelta(Answer):
    """A call's beginning, with its id and type, or more of it."""

    index: int
    id: str = maybe_absent()
    type: CallType = maybe_absent()
    function: FunctionDelta = maybe_absent()
    custom: CustomDelta = maybe_absent()


class ChatDelta(Answer):
    """More of an answer."""

    role: Literal["assistant"] = maybe_absent()
    content: str = maybe_absent()
    reasoning: str = maybe_absent()
    reasoning_content: str = maybe_absent()
    tool_calls: list[CallDelta] = maybe_absent()


class ChunkChoice(Answer):
    """More of one of the answers."""

    index: int
    delta: ChatDelta
    logprobs: ChoiceLogprobs | None
    finish_reason: FinishReason | None


class ChatCompletionChunk(Answer):
    """One event of the stream; the last one has no choices if it has the usage."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: CompletionUsage | None = maybe_absent()
