"""From a turn's events to the chunks of ``POST /v1/chat/completions``.

Analysis goes out as ``reasoning`` and, for clients that read that one,
``reasoning_content``. Preambles and final text are both ``content``, in their
order, with a blank line between two messages, as a reader would expect of two
paragraphs. Log probabilities are those of the final text's tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from mlxoss.api.answer_stream import ChunkStream
from mlxoss.api.answers import Error, LogprobEntry, PromptProgressReport
from mlxoss.api.chat.answers import (
    CallDelta,
    ChatCompletionChunk,
    ChatDelta,
    ChunkChoice,
    FinishReason,
)
from mlxoss.api.chat.fold import ChatFold
from mlxoss.api.common import CompletionHeader, CompletionUsage, to_usage
from mlxoss.api.history.replay import BETWEEN_MESSAGES
from mlxoss.api.logprobs import to_logprob_entry
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
    whole answer has a list of them. There are so many ``choices``.
    """

    customs: Collection[str] = ()
    hide_reasoning: bool = False
    include_usage: bool = False
    has_logprobs: bool = False
    choices: int = 1


class ChatStream(ChunkStream[ChatCompletionChunk]):
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
        super().__init__(options.choices)
        self._header = header
        self._token_bytes = token_bytes
        self._make_call_id = make_call_id
        self._options = options
        self._choices: dict[int, _Choice] = {}

    def feed(self, output: TurnOutput) -> list[ChatCompletionChunk | Error]:
        """The chunks for ``output``."""
        index, event = output.index, output.event
        chunks = self._begin_choice(index)
        choice = self._choices[index]
        match event:
            case MessageStart():
                choice.start_message(event)
                chunks += self._start_call(choice, event)
            case ContentDelta():
                chunks += self._delta(choice, event, output.logprob)
            case MessageEnd():
                choice.open = None
            case TurnEnd():
                self._ended.add(index)
                chunks.append(self._chunk(index, {}, finish_reason=_finish_reason(choice, event)))
        return chunks

    def finish(self, usage: Usage) -> list[ChatCompletionChunk | Error]:
        """The chunks after every choice has ended."""
        if not self._options.include_usage:
            return []
        return [self._envelope([], usage=to_usage(usage))]

    def still_working(self) -> list[ChatCompletionChunk | Error]:
        """An empty delta, or the one with the role, which comes first of all."""
        index = self._open_choice()
        if index is None:
            return []
        return self._begin_choice(index) or [self._chunk(index, {})]

    def prompt_progress(self, progress: PromptProgressReport) -> list[ChatCompletionChunk | Error]:
        """An empty delta that has them beside it, as llama.cpp's server writes it."""
        index = self._open_choice() or 0
        return [*self._begin_choice(index), {**self._chunk(index, {}), "prompt_progress": progress}]

    def make_fold(self) -> ChatFold:
        """What makes the whole completion."""
        return ChatFold(logprobs=self._options.has_logprobs)

    def _begin_choice(self, index: int) -> list[ChatCompletionChunk | Error]:
        """The first chunk of a choice, once."""
        if index in self._choices:
            return []
        self._choices[index] = _Choice(index)
        return [self._chunk(index, {"role": "assistant", "content": ""})]

    def _start_call(self, choice: _Choice, start: MessageStart) -> list[ChatCompletionChunk]:
        if start.recipient is None:
            return []
        call_id, name = self._make_call_id(choice.index), start.recipient
        call: CallDelta = {"index": choice.calls, "id": call_id}
        if name in self._options.customs:
            call |= {"type": "custom", "custom": {"name": name, "input": ""}}
        else:
            call |= {"type": "function", "function": {"name": name, "arguments": ""}}
        choice.calls += 1
        return [self._chunk(choice.index, {"tool_calls": [call]})]

    def _delta(
        self, choice: _Choice, delta: ContentDelta, logprob: TokenLogprob | None
    ) -> list[ChatCompletionChunk]:
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

    def _call_delta(
        self, choice: _Choice, delta: ContentDelta, name: str
    ) -> list[ChatCompletionChunk]:
        if not delta.text:
            return []
        call: CallDelta = {"index": choice.calls - 1}
        if name in self._options.customs:
            call["custom"] = {"input": delta.text}
        else:
            call["function"] = {"arguments": delta.text}
        return [self._chunk(choice.index, {"tool_calls": [call]})]

    def _reasoning_delta(self, choice: _Choice, delta: ContentDelta) -> list[ChatCompletionChunk]:
        if self._options.hide_reasoning or not delta.text:
            return []
        text = choice.reasoning.append(delta.text)
        return [self._chunk(choice.index, {"reasoning": text, "reasoning_content": text})]

    def _chunk(
        self,
        index: int,
        delta: ChatDelta,
        *,
        finish_reason: FinishReason | None = None,
        logprob: LogprobEntry | None = None,
    ) -> ChatCompletionChunk:
        choice: ChunkChoice = {
            "index": index,
            "delta": delta,
            "logprobs": None if logprob is None else {"content": [logprob], "refusal": None},
            "finish_reason": finish_reason,
        }
        return self._envelope([choice])

    def _envelope(
        self, choices: list[ChunkChoice], *, usage: CompletionUsage | None = None
    ) -> ChatCompletionChunk:
        chunk: ChatCompletionChunk = {
            "id": self._header.id,
            "object": "chat.completion.chunk",
            "created": self._header.created,
            "model": self._header.model,
            "choices": choices,
        }
        if self._options.include_usage:
            chunk["usage"] = usage
        return chunk


def _finish_reason(choice: _Choice, end: TurnEnd) -> FinishReason:
    match end.reason:
        case TurnEndReason.LENGTH:
            return "length"
        case TurnEndReason.STOP:
            return "stop"
        case TurnEndReason.RETURN | TurnEndReason.CALL:
            return "tool_calls" if choice.calls else "stop"
