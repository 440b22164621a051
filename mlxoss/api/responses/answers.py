"""Shapes of what ``/v1/responses`` and ``/v1/conversations`` answer."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, NotRequired

from typing_extensions import TypedDict

from mlxoss.api.answers import PromptProgressReport
from mlxoss.api.responses.item_answers import ListedItem, ListedPart, UrlCitation
from mlxoss.core import JsonObject


class ResponseStatus(StrEnum):
    """Where a response stands."""

    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    INCOMPLETE = "incomplete"
    FAILED = "failed"
    CANCELLED = "cancelled"


class InputTokensDetails(TypedDict):
    """Of a prompt's tokens those that were not computed anew."""

    cached_tokens: int
    cache_write_tokens: int


class OutputTokensDetails(TypedDict):
    """Of an answer's tokens those of its reasoning."""

    reasoning_tokens: int


class ResponseUsage(TypedDict):
    """Token counts."""

    input_tokens: int
    input_tokens_details: InputTokensDetails
    output_tokens: int
    output_tokens_details: OutputTokensDetails
    total_tokens: int


ErrorCode = Literal["server_error", "rate_limit_exceeded", "invalid_prompt"]
"""Those of OpenAI's codes that can happen here."""


class ResponseError(TypedDict):
    """Why a response failed."""

    code: ErrorCode
    message: str
    param: str | None
    type: str


class IncompleteDetails(TypedDict):
    """Why a response is incomplete."""

    reason: Literal["max_output_tokens"]


class ConversationReference(TypedDict):
    """The conversation that a response belongs to."""

    id: str


class ReasoningSettings(TypedDict):
    """The reasoning in force."""

    effort: Literal["low", "medium", "high"]
    summary: str | None


class TextSettings(TypedDict):
    """The format of the answer's text."""

    format: JsonObject
    verbosity: str


class SettingsInForce(TypedDict):
    """The settings that a response was made with."""

    temperature: float
    top_p: float
    presence_penalty: float
    frequency_penalty: float
    top_logprobs: int
    max_output_tokens: int | None
    max_tool_calls: int | None
    tools: list[JsonObject]
    tool_choice: str | JsonObject
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


class UnknownHere(TypedDict):
    """What only OpenAI's own service has: always null."""

    access_programs: None
    image: None
    input_transformations: None
    moderation: None
    prompt: None
    prompt_cache_diagnostics: None
    prompt_cache_options: None
    prompt_cache_retention: None
    tool_usage: None


class ResponseOrigin(TypedDict):
    """What a response goes on from."""

    model: str
    instructions: str | None
    previous_response_id: str | None
    conversation: ConversationReference | None


class ResponseConstants(ResponseOrigin, SettingsInForce, UnknownHere):
    """What of a response stays the same from its beginning to its end."""


class ResponseProgress(TypedDict):
    """What a response is at a moment of its life."""

    id: str
    object: Literal["response"]
    created_at: int
    status: ResponseStatus
    completed_at: int | None
    error: ResponseError | None
    incomplete_details: IncompleteDetails | None
    output: list[ListedItem]
    usage: ResponseUsage | None


class ResponseObject(ResponseProgress, ResponseConstants):
    """A response, with the settings it was made with. What is always null is OpenAI's alone."""


class EventLogprob(TypedDict):
    """A token and how likely it was, the way events have it."""

    token: str
    logprob: float


class EventTokenLogprob(EventLogprob):
    """A token of an answer, with its alternatives."""

    top_logprobs: list[EventLogprob]


class EventFields(TypedDict, total=False):
    """What an event of a type has besides."""

    response: ResponseObject
    output_index: int
    item_id: str
    item: ListedItem
    content_index: int
    summary_index: int
    part: ListedPart
    delta: str
    text: str
    arguments: str
    input: str
    code: str | None
    annotation: UrlCitation
    annotation_index: int
    command: str
    command_index: int
    diff: str
    logprobs: list[EventTokenLogprob]
    message: str
    param: str | None
    prompt_progress: PromptProgressReport


class ResponseEvent(EventFields):
    """One event of the stream; its type says which of the fields are there."""

    type: str
    sequence_number: NotRequired[int]


class DeletedResponse(TypedDict):
    """The answer to a response's deletion."""

    id: str
    object: Literal["response"]
    deleted: Literal[True]


class InputTokens(TypedDict):
    """The exact length of a prompt."""

    object: Literal["response.input_tokens"]
    input_tokens: int


class Compaction(TypedDict):
    """A conversation summed up."""

    id: str
    object: Literal["response.compaction"]
    created_at: int
    output: list[ListedItem]
    usage: ResponseUsage


class ConversationObject(TypedDict):
    """A conversation without its items."""

    id: str
    object: Literal["conversation"]
    created_at: int
    metadata: dict[str, str]


class DeletedConversation(TypedDict):
    """The answer to a conversation's deletion."""

    id: str
    object: Literal["conversation.deleted"]
    deleted: Literal[True]
