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

from mlxoss.api.answer_stream import ChunkStream
from mlxoss.api.chat.fold import ChatFold
from mlxoss.api.common import CompletionHeader, to_usage
from mlxoss.api.logprobs import to_logprob_entry
from mlxoss.api.replay import BETWEEN_MESSAGES
from mlxoss.api.turn_request import TurnOutput, Usage
from mlxoss.core import TokenLogprob
from mlxoss.harmony.events import (
    Channel,
    ContentDelta,
    MessageEnd,
    MessageStart,
    TurnEnd,
    TurnEndReason,
)


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


@dataclass(frozen=True, slots=True)
class ChatOptions:
    """What a request wants to see.

    ``customs`` are the names of the custom tools. With ``hide_reasoning`` analysis is left out.
    With ``include_usage`` every chunk has a ``usage``, null but in the last one, which has no
    choices (OpenAI's ``stream_options.include_usage``). With ``has_logprobs`` every choice of the
    whole answer has a list of them.
    """

    customs: Collection[str] = ()
    hide_reasoning: bool = False
    include_usage: bool = False
    has_logprobs: bool = False


class ChatStream(ChunkStream):
    """One completion's chunks, choice by choice.

    ``token_bytes`` gives a token's bytes for log probabilities, ``make_call_id`` a fresh id for
    the next call of a choice.
    """

    def __init__(
        self,
        header: CompletionHeader,
        options: ChatOptions,
        *,
        token_bytes: Callable[[int], bytes],
        make_call_id: Callable[[int], str],
    ) -> None:
        self._header = header
        self._token_bytes = token_bytes
        self._make_call_id = make_call_id
        self._options = options
        self._choices: dict[int, _Choice] = {}

    def feed(self, output: TurnOutput) -> list[dict[str, Any]]:
        """The chunks for ``output``."""
        index, event = output.index, output.event
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
                chunks += self._delta(choice, event, output.logprob)
            case MessageEnd():
                choice.open = None
            case TurnEnd():
                chunks.append(self._chunk(index, {}, finish_reason=_finish_reason(choice, event)))
        return chunks

    def finish(self, usage: Usage) -> list[dict[str, Any]]:
        """The chunks after every choice has ended."""
        if not self._options.include_usage:
            return []
        return [self._envelope([], usage=to_usage(usage))]

    def make_fold(self) -> ChatFold:
        """What makes the whole completion."""
        return ChatFold(logprobs=self._options.has_logprobs)

    def _start_call(self, choice: _Choice, start: MessageStart) -> list[dict[str, Any]]:
        if start.recipient is None:
            return []
        kind, member = self._call_words(start.recipient)
        call = {
            "index": choice.calls,
            "id": self._make_call_id(choice.index),
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
        return ("custom", "input") if name in self._options.customs else ("function", "arguments")

    def _call_delta(self, choice: _Choice, delta: ContentDelta, name: str) -> list[dict[str, Any]]:
        if not delta.text:
            return []
        kind, member = self._call_words(name)
        call = {"index": choice.calls - 1, kind: {member: delta.text}}
        return [self._chunk(choice.index, {"tool_calls": [call]})]

    def _reasoning_delta(self, choice: _Choice, delta: ContentDelta) -> list[dict[str, Any]]:
        if self._options.hide_reasoning or not delta.text:
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
        if self._options.include_usage:
            chunk["usage"] = usage
        return chunk


def _finish_reason(choice: _Choice, end: TurnEnd) -> str:
    match end.reason:
        case TurnEndReason.LENGTH:
            return "length"
        case TurnEndReason.STOP:
            return "stop"
        case TurnEndReason.RETURN | TurnEndReason.CALL:
            return "tool_calls" if choice.calls else "stop"
