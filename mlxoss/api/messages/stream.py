"""From a turn's events to those of ``POST /v1/messages``.

Each message of the turn is a content block: reasoning is ``thinking``, preambles and final text
are ``text``, calls are ``tool_use``. A block's events never overlap another's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from mlxoss.api.answer_stream import AnswerStream
from mlxoss.api.answers import MessagesError, PromptProgressReport
from mlxoss.api.errors import HttpError
from mlxoss.api.messages.answers import (
    BlockDelta,
    BlockDeltaEvent,
    MessagesBlock,
    MessagesEvent,
    MessagesMessage,
    MessagesUsage,
    PingEvent,
    SignatureDelta,
    StopFields,
    StopReason,
)
from mlxoss.api.messages.fold import MessageFold
from mlxoss.api.sse import encode_named
from mlxoss.api.turn_request import TurnOutput, Usage
from mlxoss.harmony.conversation import Reasoning
from mlxoss.harmony.events import (
    ContentDelta,
    MessageEnd,
    MessageStart,
    TurnEnd,
    TurnEndReason,
)

StreamEvent = MessagesEvent | MessagesError

PING: PingEvent = {"type": "ping"}
"""Says nothing; clients skip it."""


class Show(Enum):
    """What a client gets of the thinking."""

    NOTHING = "nothing"
    SIGNATURE = "signature"
    TEXT = "text"


@dataclass(slots=True)
class _Open:
    """The message that is open, and the block it has become, if it has."""

    start: MessageStart
    index: int | None = None
    text: list[str] = field(default_factory=list)
    token_ids: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class MessageHeader:
    """What a message is from its beginning on; an error tells the ``request_id``."""

    id: str
    model: str
    request_id: str


class MessagesStream(AnswerStream[StreamEvent]):
    """One message's events.

    ``make_call_id`` gives a fresh tool use id, ``seal`` the signature of thinking: its exact
    tokens for the client to keep. ``context_tokens`` is the most of prompt and answer together.
    """

    def __init__(
        self,
        header: MessageHeader,
        *,
        make_call_id: Callable[[], str],
        seal: Callable[[Reasoning], str],
        show: Show,
        context_tokens: int,
    ) -> None:
        self._header = header
        self._make_call_id = make_call_id
        self._seal = seal
        self._show = show
        self._context_tokens = context_tokens
        self._blocks = 0
        self._calls = 0
        self._open: _Open | None = None
        self._end = TurnEnd(TurnEndReason.RETURN)

    def begin(self, usage: Usage) -> list[StreamEvent]:
        """The events before any of the turn's."""
        message: MessagesMessage = {
            "id": self._header.id,
            "type": "message",
            "role": "assistant",
            "model": self._header.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": _to_usage(usage),
        }
        return [{"type": "message_start", "message": message}, PING]

    def feed(self, output: TurnOutput) -> list[StreamEvent]:
        """The events for ``output``; there is one choice."""
        match output.event:
            case MessageStart() as event:
                self._open = _Open(event)
                return self._start(self._open) if event.recipient is not None else []
            case ContentDelta() as delta if self._open is not None:
                return self._delta(self._open, delta)
            case MessageEnd() if self._open is not None:
                closed, self._open = self._open, None
                return self._stop(closed)
            case TurnEnd() as end:
                self._end = end
        return []

    def still_working(self) -> list[StreamEvent]:
        """A ping, as Anthropic has it."""
        return [PING]

    def prompt_progress(self, progress: PromptProgressReport) -> list[StreamEvent]:
        """A ping that has them: clients skip what they do not know of it."""
        return [{"type": "ping", "prompt_progress": progress}]

    def finish(self, usage: Usage) -> list[StreamEvent]:
        """The events after all of the turn's."""
        delta: StopFields = {
            "stop_reason": self._stop_reason(usage),
            "stop_sequence": self._end.stop,
        }
        return [
            {"type": "message_delta", "delta": delta, "usage": _to_usage(usage)},
            {"type": "message_stop"},
        ]

    def fail(self, error: HttpError, usage: Usage) -> list[StreamEvent]:
        """The error in Anthropic's shape."""
        return [error.to_messages_body(self._header.request_id)]

    def make_fold(self) -> MessageFold:
        """What makes the whole message."""
        return MessageFold()

    def encode(self, events: Sequence[StreamEvent]) -> bytes:
        """Events by their names."""
        return encode_named(events)

    def _stop_reason(self, usage: Usage) -> StopReason:
        match self._end.reason:
            case TurnEndReason.LENGTH:
                is_full = usage.prompt_tokens + usage.completion_tokens >= self._context_tokens
                return "model_context_window_exceeded" if is_full else "max_tokens"
            case TurnEndReason.STOP:
                return "stop_sequence"
            case TurnEndReason.RETURN | TurnEndReason.CALL:
                return "tool_use" if self._calls else "end_turn"

    def _start(self, opened: _Open) -> list[StreamEvent]:
        opened.index, self._blocks = self._blocks, self._blocks + 1
        block = self._block(opened.start)
        return [{"type": "content_block_start", "index": opened.index, "content_block": block}]

    def _block(self, start: MessageStart) -> MessagesBlock:
        if start.recipient is not None:
            self._calls += 1
            return {
                "type": "tool_use",
                "id": self._make_call_id(),
                "name": start.recipient,
                "input": {},
            }
        if start.is_reasoning:
            return {"type": "thinking", "thinking": "", "signature": ""}
        return {"type": "text", "text": ""}

    def _delta(self, opened: _Open, delta: ContentDelta) -> list[StreamEvent]:
        start = opened.start
        if start.is_reasoning and self._show is Show.NOTHING:
            return []
        events = self._start(opened) if opened.index is None else []
        if start.is_reasoning:
            opened.text.append(delta.text)
            opened.token_ids += [] if delta.token_id is None else [delta.token_id]
        if delta.text and not (start.is_reasoning and self._show is not Show.TEXT):
            events.append(_more(opened, _to_delta(start, delta.text)))
        return events

    def _stop(self, closed: _Open) -> list[StreamEvent]:
        if closed.index is None:
            return []
        events: list[StreamEvent] = []
        if closed.start.is_reasoning:
            reasoning = Reasoning("".join(closed.text), tuple(closed.token_ids) or None)
            signature: SignatureDelta = {
                "type": "signature_delta",
                "signature": self._seal(reasoning),
            }
            events.append(_more(closed, signature))
        return [*events, {"type": "content_block_stop", "index": closed.index}]


def _to_delta(start: MessageStart, text: str) -> BlockDelta:
    if start.is_reasoning:
        return {"type": "thinking_delta", "thinking": text}
    if start.recipient is not None:
        return {"type": "input_json_delta", "partial_json": text}
    return {"type": "text_delta", "text": text}


def _more(opened: _Open, delta: BlockDelta) -> BlockDeltaEvent:
    assert opened.index is not None
    return {"type": "content_block_delta", "index": opened.index, "delta": delta}


def _to_usage(usage: Usage) -> MessagesUsage:
    """Anthropic's ``usage``: its ``input_tokens`` are those that had to be computed."""
    return {
        "input_tokens": usage.prompt_tokens - usage.cached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"thinking_tokens": usage.reasoning_tokens},
    }
