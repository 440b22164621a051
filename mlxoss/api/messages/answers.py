"""Shapes of what ``POST /v1/messages`` and its neighbour answer, for ``/openapi.json``."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import RootModel

from mlxoss.api.answers import Answer

StopReason = Literal[
    "end_turn", "max_tokens", "stop_sequence", "tool_use", "model_context_window_exceeded"
]


class ThinkingTokens(Answer):
    """Of an answer's tokens those of its thinking."""

    thinking_tokens: int


class MessagesUsage(Answer):
    """Token counts; those of the prompt are ``input_tokens`` and what was read from the cache."""

    input_tokens: int
    cache_creation_input_tokens: int
    cache_read_input_tokens: int
    output_tokens: int
    output_tokens_details: ThinkingTokens


class TextBlock(Answer):
    """Text for the user."""

    type: Literal["text"]
    text: str


class ThinkingBlock(Answer):
    """Reasoning; ``signature`` brings it back to the token."""

    type: Literal["thinking"]
    thinking: str
    signature: str


class ToolUseBlock(Answer):
    """A call."""

    type: Literal["tool_use"]
    id: str
    name: str
    input: dict[str, Any]


class MessagesMessage(Answer):
    """The answer when it is not streamed."""

    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: list[TextBlock | ThinkingBlock | ToolUseBlock]
    stop_reason: StopReason | None
    stop_sequence: str | None
    usage: MessagesUsage


class MessageStartEvent(Answer):
    """The first event: the message without its content."""

    type: Literal["message_start"]
    message: MessagesMessage


class PingEvent(Answer):
    """Says nothing, in the first moment and in silence."""

    type: Literal["ping"]


class BlockStartEvent(Answer):
    """A block begins, empty."""

    type: Literal["content_block_start"]
    index: int
    content_block: TextBlock | ThinkingBlock | ToolUseBlock


class TextDelta(Answer):
    """More text."""

    type: Literal["text_delta"]
    text: str


class ThinkingDelta(Answer):
    """More reasoning."""

    type: Literal["thinking_delta"]
    thinking: str


class SignatureDelta(Answer):
    """The signature of the reasoning, whole."""

    type: Literal["signature_delta"]
    signature: str


class InputDelta(Answer):
    """More of a call's input."""

    type: Literal["input_json_delta"]
    partial_json: str


class BlockDeltaEvent(Answer):
    """More of a block."""

    type: Literal["content_block_delta"]
    index: int
    delta: TextDelta | ThinkingDelta | SignatureDelta | InputDelta


class BlockStopEvent(Answer):
    """A block is complete."""

    type: Literal["content_block_stop"]
    index: int


class StopFields(Answer):
    """Why the message ended."""

    stop_reason: StopReason
    stop_sequence: str | None


class MessageDeltaEvent(Answer):
    """How the message ended, and its counts."""

    type: Literal["message_delta"]
    delta: StopFields
    usage: MessagesUsage


class MessageStopEvent(Answer):
    """The last event."""

    type: Literal["message_stop"]


class MessagesEvent(
    RootModel[
        MessageStartEvent
        | PingEvent
        | BlockStartEvent
        | BlockDeltaEvent
        | BlockStopEvent
        | MessageDeltaEvent
        | MessageStopEvent
    ]
):
    """An event of the stream."""


class MessagesTokenCount(Answer):
    """How long a prompt is."""

    input_tokens: int


class MessagesErrorFields(Answer):
    """What went wrong; the message names the field to blame."""

    type: Literal[
        "invalid_request_error",
        "authentication_error",
        "permission_error",
        "not_found_error",
        "request_too_large",
        "rate_limit_error",
        "api_error",
        "timeout_error",
        "overloaded_error",
    ]
    message: str


class MessagesError(Answer):
    """The answer to a request that cannot be served as asked, or an event in a stream."""

    type: Literal["error"]
    error: MessagesErrorFields
    request_id: str
