"""From a turn's events to the chunks of ``POST /v1/chat/completions``.

Analysis goes out as ``reasoning`` and, for clients that read that one,
``reasoning_content``. Preambles and final text are both ``content``, in their
order, with a blank line between two messages, as a reader would expect of two
paragraphs. Log probabilities are those of the final text's tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from mlxoss.api.exact_turns import BETWEEN_MESSAGES
from mlxoss.api.logprobs import to_logprob_entry
from mlxoss.api.turn_request import Usage
from mlxoss.core import TokenLogprob
from mlxoss.harmony.events import (
    Channel,
    ContentDelta,
    Event,
    MessageEnd,
    MessageStart,
    TurnEnd,
    TurnEndReason,
)


@dataclass(frozen=True, slots=True)
class ChatHeader:
    """What every chunk of a completion repeats. ``created`` is a Unix time in seconds."""

    id: str
    created: int
    model: str


@dataclass(slots=True)
class _Prose:
    """Text made of several messages, with a blank line between two that have any."""

    began: bool = False
    at_start: bool = True

    def append(self, text: str) -> str:
        if not text:
            return text
        separator = BETWEEN_MESSAGES if self.began and self.at_start else ""
        self.began, self.at_start = True, False
        return separator + text


@dataclass(slots=True)
class _Choice:
    index: int
    started: bool = False
    open: MessageStart | None = None
    calls: int = 0
    content: _Prose = field(default_factory=_Prose)
    reasoning: _Prose = field(default_factory=_Prose)

    def start_message(self, start: MessageStart) -> None:
        self.open = start
        self.content.at_start = self.reasoning.at_start = True


class ChatStream:
    """One completion's chunks, choice by choice. Nothing here is sent: callers send.

    ``token_bytes`` gives a token's bytes for log probabilities, ``make_call_id``
    a fresh tool call id; ``customs`` are the names of the custom tools. With
    ``hide_reasoning`` analysis is left out. With ``include_usage`` every chunk has a
    ``usage``, null but in the last one, which has no choices (OpenAI's
    ``stream_options.include_usage``).
    """

    def __init__(
        self,
        header: ChatHeader,
        *,
        token_bytes: Callable[[int], bytes],
        make_call_id: Callable[[], str],
        customs: Collection[str] = (),
        hide_reasoning: bool = False,
        include_usage: bool = False,
    ) -> None:
        self._header = header
        self._token_bytes = token_bytes
        self._make_call_id = make_call_id
        self._customs = customs
        self._hide_reasoning = hide_reasoning
        self._include_usage = include_usage
        self._choices: dict[int, _Choice] = {}

    def feed(
        self, index: int, event: Event, logprob: TokenLogprob | None = None
    ) -> list[dict[str, Any]]:
        """The chunks for ``event`` of choice ``index``; ``logprob`` is its token's."""
        choice = self._choices.get(index)
        if choice is None:
            choice = self._choices[index] = _Choice(index)
        chunks = (
            [] if choice.started else [self._chunk(index, {"role": "assistant", "content": ""})]
        )
        choice.started = True
        match event:
            case MessageStart():
                choice.start_message(event)
                chunks += self._start_call(choice, event)
            case ContentDelta():
                chunks += self._delta(choice, event, logprob)
            case MessageEnd():
                choice.open = None
            case TurnEnd():
                chunks.append(self._chunk(index, {}, finish_reason=_finish_reason(choice, event)))
        return chunks

    def finish(self, usage: Usage) -> list[dict[str, Any]]:
        """The chunks after every choice has ended."""
        if not self._include_usage:
            return []
        return [self._envelope([], usage=to_usage(usage))]

    def _start_call(self, choice: _Choice, start: MessageStart) -> list[dict[str, Any]]:
        if start.recipient is None:
            return []
        kind, member = self._call_words(start.recipient)
        call = {
            "index": choice.calls,
            "id": self._make_call_id(),
            "type": kind,
            kind: {"name": start.recipient, member: ""},
        }
        choice.calls += 1
        return [self._chunk(choice.index, {"tool_calls": [call]})]

    def _delta(
        self, choice: _Choice, delta: ContentDelta, logprob: TokenLogprob | None
    ) -> list[dict[str, Any]]:
        message = choice.open
        if message is None:
            return []
        if message.recipient is not None:
            return self._call_delta(choice, delta, message.recipient)
        if message.is_reasoning:
            return self._reasoning_delta(choice, delta)
        entry = None
        if logprob is not None and message.channel is Channel.FINAL and delta.token_id is not None:
            entry = to_logprob_entry(self._token_bytes, delta.token_id, logprob)
        if not delta.text and entry is None:
            return []
        text = choice.content.append(delta.text)
        return [self._chunk(choice.index, {"content": text}, logprob=entry)]

    def _call_words(self, name: str) -> tuple[str, str]:
        return ("custom", "input") if name in self._customs else ("function", "arguments")

    def _call_delta(self, choice: _Choice, delta: ContentDelta, name: str) -> list[dict[str, Any]]:
        if not delta.text:
            return []
        kind, member = self._call_words(name)
        call = {"index": choice.calls - 1, kind: {member: delta.text}}
        return [self._chunk(choice.index, {"tool_calls": [call]})]

    def _reasoning_delta(self, choice: _Choice, delta: ContentDelta) -> list[dict[str, Any]]:
        if self._hide_reasoning or not delta.text:
            return []
        text = choice.reasoning.append(delta.text)
        return [self._chunk(choice.index, {"reasoning": text, "reasoning_content": text})]

    def _chunk(
        self,
        index: int,
        delta: dict[str, Any],
        *,
        finish_reason: str | None = None,
        logprob: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        choice = {
            "index": index,
            "delta": delta,
            "logprobs": None if logprob is None else {"content": [logprob], "refusal": None},
            "finish_reason": finish_reason,
        }
        return self._envelope([choice])

    def _envelope(
        self, choices: list[dict[str, Any]], *, usage: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        chunk: dict[str, Any] = {
            "id": self._header.id,
            "object": "chat.completion.chunk",
            "created": self._header.created,
            "model": self._header.model,
            "choices": choices,
        }
        if self._include_usage:
            chunk["usage"] = usage
        return chunk


def to_usage(usage: Usage) -> dict[str, Any]:
    """OpenAI's ``usage`` object."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def _finish_reason(choice: _Choice, end: TurnEnd) -> str:
    match end.reason:
        case TurnEndReason.LENGTH:
            return "length"
        case TurnEndReason.STOP:
            return "stop"
        case TurnEndReason.RETURN | TurnEndReason.CALL:
            return "tool_calls" if choice.calls else "stop"
