"""Shapes of what ``/v1/responses`` and ``/v1/conversations`` answer, for ``/openapi.json``."""

from __future__ import annotations

from typing import Any, Literal

from mlxoss.api.answers import Answer, maybe_absent
from mlxoss.api.responses.item_answers import Item, Part
from mlxoss.api.responses.object import ResponseStatus


class InputTokensDetails(Answer):
    """Of a prompt's tokens those that were not computed anew."""

    cached_tokens: int
    cache_write_tokens: int


class OutputTokensDetails(Answer):
    """Of an answer's tokens those of its reasoning."""

    reasoning_tokens: int


class ResponseUsage(Answer):
    """Token counts."""

    input_tokens: int
    input_tokens_details: InputTokensDetails
    output_tokens: int
    output_tokens_details: OutputTokensDetails
    total_tokens: int


class ResponseError(Answer):
    """Why a response failed."""

    code: Literal["server_error", "rate_limit_exceeded", "invalid_prompt"]
    message: str
    param: str | None
    type: str


class IncompleteDetails(Answer):
    """Why a response is incomplete."""

    reason: Literal["max_output_tokens"]


class ConversationReference(Answer):
    """The conversation that a response belongs to."""

    id: str


class ReasoningSettings(Answer):
    """The reasoning in force."""

    effort: Literal["low", "medium", "high"]
    summary: str | None


class TextSettings(Answer):
    """The format of the answer's text."""

    format: dict[str, Any]
    verbosity: str


class Response(Answer):
    """A response, with the settings it was made with. What is always null is OpenAI's alone."""

    id: str
    object: Literal["response"]
    created_at: int
    status: ResponseStatus
    completed_at: int | None
    error: ResponseError | None
    incomplete_details: IncompleteDetails | None
    output: list[Item]
    usage: ResponseUsage | None
    model: str
    instructions: str | None
    previous_response_id: str | None
    conversation: ConversationReference | None
    temperature: float
    top_p: float
    presence_penalty: float
    frequency_penalty: float
    top_logprobs: int
    max_output_tokens: int | None
    max_tool_calls: int | None
    tools: list[dict[str, Any]]
    tool_choice: str | dict[str, Any]
    parallel_tool_calls: bool
    reasoning: ReasoningSettings
    text: TextSettings
    truncation: Literal["auto", "disabled"]
    background: bool
    store: bool
    service_tier: str
    metadata: dict[str, str]
    prompt_cache_key: str | None
    safety_identifier: str | None
    user: str | None
    access_programs: None
    image: None
    input_transformations: None
    moderation: None
    prompt: None
    prompt_cache_diagnostics: None
    prompt_cache_options: None
    prompt_cache_retention: None
    tool_usage: None


class EventLogprob(Answer):
    """A token and how likely it was, the way events have it."""

    token: str
    logprob: float


class EventTokenLogprob(EventLogprob):
    """A token of an answer, with its alternatives."""

    top_logprobs: list[EventLogprob]


class ResponseEvent(Answer):
    """One event of the stream; its type says which of the fields are there."""

    type: str
    sequence_number: int = maybe_absent()
    response: Response = maybe_absent()
    output_index: int = maybe_absent()
    item_id: str = maybe_absent()
    item: Item = maybe_absent()
    content_index: int = maybe_absent()
    summary_index: int = maybe_absent()
    part: Part = maybe_absent()
    delta: str = maybe_absent()
    text: str = maybe_absent()
    arguments: str = maybe_absent()
    input: str = maybe_absent()
    logprobs: list[EventTokenLogprob] = maybe_absent()
    message: str = maybe_absent()
    code: str | None = maybe_absent()
    param: str | None = maybe_absent()


class DeletedResponse(Answer):
    """The answer to a response's deletion."""

    id: str
    object: Literal["response"]
    deleted: Literal[True]


class InputTokens(Answer):
    """The exact length of a prompt."""

    object: Literal["response.input_tokens"]
    input_tokens: int


class Compaction(Answer):
    """A conversation summed up."""

    id: str
    object: Literal["response.compaction"]
    created_at: int
    output: list[Item]
    usage: ResponseUsage


class Conversation(Answer):
    """A conversation without its items."""

    id: str
    object: Literal["conversation"]
    created_at: int
    metadata: dict[str, str]


class DeletedConversation(Answer):
    """The answer to a conversation's deletion."""

    id: str
    object: Literal["conversation.deleted"]
    deleted: Literal[True]
