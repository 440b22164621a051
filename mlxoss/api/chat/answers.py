"""Shapes of what ``POST /v1/chat/completions`` answers."""

from __future__ import annotations

from typing import Literal, NotRequired

from typing_extensions import TypedDict

from mlxoss.api.answers import LogprobEntry, PromptProgressReport
from mlxoss.api.common import CompletionUsage

FinishReason = Literal["stop", "length", "tool_calls"]
CallType = Literal["function", "custom"]


class ChoiceLogprobs(TypedDict):
    """Of the final text's tokens."""

    content: list[LogprobEntry]
    refusal: None


class ChatFunctionCall(TypedDict):
    """The function that a call names."""

    name: str
    arguments: str


class ChatCustomCall(TypedDict):
    """The custom tool that a call names."""

    name: str
    input: str


class ChatToolCall(TypedDict):
    """A call; the member that its type names is there."""

    id: str
    type: CallType
    function: NotRequired[ChatFunctionCall]
    custom: NotRequired[ChatCustomCall]


class ChatUrlCitation(TypedDict):
    """A link to a page: ``content[start_index:end_index]``, in code points."""

    start_index: int
    end_index: int
    url: str
    title: str


class ChatAnnotation(TypedDict):
    """What is said of a part of the content."""

    type: Literal["url_citation"]
    url_citation: ChatUrlCitation


class ChatMessage(TypedDict):
    """A whole answer of the model. Annotations are there if it cites pages."""

    role: Literal["assistant"]
    content: str | None
    refusal: None
    reasoning: str | None
    reasoning_content: str | None
    annotations: NotRequired[list[ChatAnnotation]]
    tool_calls: NotRequired[list[ChatToolCall]]


class ChatChoice(TypedDict):
    """One of the answers."""

    index: int
    message: ChatMessage
    logprobs: ChoiceLogprobs | None
    finish_reason: FinishReason


class ChatCompletion(TypedDict):
    """The answer when it is not streamed."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[ChatChoice]
    usage: CompletionUsage


class FunctionDelta(TypedDict):
    """A function call's beginning, or more of its arguments."""

    name: NotRequired[str]
    arguments: str


class CustomDelta(TypedDict):
    """A custom call's beginning, or more of its input."""

    name: NotRequired[str]
    input: str


class CallDelta(TypedDict):
    """A call's beginning, with its id and type, or more of it."""

    index: int
    id: NotRequired[str]
    type: NotRequired[CallType]
    function: NotRequired[FunctionDelta]
    custom: NotRequired[CustomDelta]


class ChatDelta(TypedDict):
    """More of an answer."""

    role: NotRequired[Literal["assistant"]]
    content: NotRequired[str]
    reasoning: NotRequired[str]
    reasoning_content: NotRequired[str]
    annotations: NotRequired[list[ChatAnnotation]]
    tool_calls: NotRequired[list[CallDelta]]


class ChunkChoice(TypedDict):
    """More of one of the answers."""

    index: int
    delta: ChatDelta
    logprobs: ChoiceLogprobs | None
    finish_reason: FinishReason | None


class ChatCompletionChunk(TypedDict):
    """One event of the stream; the last one has no choices if it has the usage."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: NotRequired[CompletionUsage | None]
    prompt_progress: NotRequired[PromptProgressReport]
