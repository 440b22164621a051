"""Shapes of what ``POST /v1/messages`` and its neighbour answer."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from typing_extensions import TypeAliasType, TypedDict

from mlxoss.api.answers import PromptProgressReport, SchemaExtra
from mlxoss.core import JsonObject

StopReason = Literal[
    "end_turn", "max_tokens", "stop_sequence", "tool_use", "model_context_window_exceeded"
]


class ThinkingTokens(TypedDict):
    """Of an answer's tokens those of its thinking."""

    thinking_tokens: int


class MessagesUsage(TypedDict):
    """Token counts; those of the prompt are ``input_tokens`` and what was read from the cache."""

    input_tokens: int
    cache_creation_input_tokens: int
    cache_read_input_tokens: int
    output_tokens: int
    output_tokens_details: ThinkingTokens


class TextBlock(TypedDict):
    """Text for the user."""

    type: Literal["text"]
    text: str


class ThinkingBlock(TypedDict):
    """Reasoning; ``signature`` brings it back to the token."""

    type: Literal["thinking"]
    thinking: str
    signature: str


class ToolUseBlock(TypedDict):
    """A call."""

    type: Literal["tool_use"]
    id: str
    name: str
    input: JsonObject


MessagesBlock = TextBlock | ThinkingBlock | ToolUseBlock


class MessagesMessage(TypedDict):
    """The answer when it is not streamed."""

    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: list[MessagesBlock]
    stop_reason: StopReason | None
    stop_sequence: str | None
    usage: MessagesUsage


class MessageStartEvent(TypedDict):
    """The first event: the message without its content."""

    type: Literal["message_start"]
    message: MessagesMessage


class PingEvent(TypedDict):
    """Says nothing, in the first moment and in silence; or how far the prompt is, to who asked."""

    type: Literal["ping"]
    prompt_progress: NotRequired[PromptProgressReport]


class BlockStartEvent(TypedDict):
    """A block begins, empty."""

    type: Literal["content_block_start"]
    index: int
    content_block: MessagesBlock


class TextDelta(TypedDict):
    """More text."""

    type: Literal["text_delta"]
    text: str


class ThinkingDelta(TypedDict):
    """More reasoning."""

    type: Literal["thinking_delta"]
    thinking: str


class SignatureDelta(TypedDict):
    """The signature of the reasoning, whole."""

    type: Literal["signature_delta"]
    signature: str


class InputDelta(TypedDict):
    """More of a call's input."""

    type: Literal["input_json_delta"]
    partial_json: str


BlockDelta = TextDelta | ThinkingDelta | SignatureDelta | InputDelta


class BlockDeltaEvent(TypedDict):
    """More of a block."""

    type: Literal["content_block_delta"]
    index: int
    delta: BlockDelta


class BlockStopEvent(TypedDict):
    """A block is complete."""

    type: Literal["content_block_stop"]
    index: int


class StopFields(TypedDict):
    """Why the message ended."""

    stop_reason: StopReason
    stop_sequence: str | None


class MessageDeltaEvent(TypedDict):
    """How the message ended, and its counts."""

    type: Literal["message_delta"]
    delta: StopFields
    usage: MessagesUsage


class MessageStopEvent(TypedDict):
    """The last event."""

    type: Literal["message_stop"]


MessagesEvent = TypeAliasType(
    "MessagesEvent",
    Annotated[
        MessageStartEvent
        | PingEvent
        | BlockStartEvent
        | BlockDeltaEvent
        | BlockStopEvent
        | MessageDeltaEvent
        | MessageStopEvent,
        SchemaExtra(description="An event of the stream."),
    ],
)


class MessagesTokenCount(TypedDict):
    """How long a prompt is."""

    input_tokens: int
