"""From a turn's events to the chunks of ``POST /v1/chat/completions``.

Analysis goes out as ``reasoning`` and, for clients that read that one,
``reasoning_content``. Preambles and final text are both ``content``, in their
order, with a blank line between two messages, as a reader would expect of two
paragraphs. Log probabilities are those of the final text's tokens. Calls that this server runs
are not told: the answer goes on with the next turn.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from mlxoss.api.answer_stream import ChunkStream
from mlxoss.api.answers import Error, LogprobEntry, PromptProgressReport
from mlxoss.api.chat.answers import (
    CallDelta,
    ChatAnnotation,
    ChatCompletionChunk,
    ChatDelta,
    ChunkChoice,
    FinishReason,
)
from mlxoss.api.chat.fold import ChatFold
from mlxoss.api.common import CompletionHeader, CompletionUsage, to_usage
from mlxoss.api.history.replay import BETWEEN_MESSAGES
from mlxoss.api.history.rounds import EndedRound
from mlxoss.api.hosted.calls import RunnableCall, ToolResult, call_of_builtin
from mlxoss.api.hosted.citations import Citation, CitedText, FindPage
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
from mlxoss.outcomes import ToolOutcome


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
    cited: CitedText | None = None
    code: list[str] = field(default_factory=list)
    content: _Prose = field(default_factory=_Prose)
    reasoning: _Prose = field(default_factory=_Prose)

    def start_message(self, start: MessageStart) -> None:
        self.open = start
        self.code = []
        self.content.at_start = self.reasoning.at_start = True


@dataclass(frozen=True, slots=True)
class ChatOptions:
    """What a request wants to see.

    ``customs`` are the names of the custom tools. With ``hide_reasoning`` analysis is left out.
    With ``include_usage`` every chunk has a ``usage``, null but in the last one, which has no
    choices (OpenAI's ``stream_options.include_usage``). With ``has_logprobs`` every choice of the
    whole answer has a list of them. There are so many ``choices``. ``cite`` gives the pages that
    the text cites (``None``: its marks stay as they are).
    """

    customs: Collection[str] = ()
    hide_reasoning: bool = False
    include_usage: bool = False
    has_logprobs: bool = False
    choices: int = 1
    cite: FindPage | None = None


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
        self._to_run: list[RunnableCall] = []
        self._held: ChatCompletionChunk | None = None

    @property
    def calls_to_run(self) -> tuple[RunnableCall, ...]:
        """The calls of the turn that this server has to run now, unless the client has some to
        answer first. Their ids count from 0."""
        return () if self.awaits_client else tuple(self._to_run)

    @property
    def ignored_calls(self) -> tuple[RunnableCall, ...]:
        """None: chats have no bound for them."""
        return ()

    @property
    def awaits_client(self) -> bool:
        """Whether the client has a call to answer before anything goes on."""
        return any(choice.calls for choice in self._choices.values())

    def begin_call(self, call: RunnableCall) -> list[ChatCompletionChunk | Error]:
        """Nothing is told of it."""
        return []

    def end_call(
        self, call: RunnableCall, outcome: ToolOutcome
    ) -> list[ChatCompletionChunk | Error]:
        """Nothing is told of it."""
        return []

    def end_round(self, token_ids: Sequence[int], results: Mapping[str, ToolResult]) -> EndedRound:
        """The calls were run, and the answer goes on with another turn if there were any. Clients
        do not know of the round: it has no ids."""
        if results:
            self._to_run, self._held = [], None
            self._ended.clear()
        return EndedRound(tuple(token_ids), results=dict(results))

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
            case MessageEnd(is_cut=is_cut):
                chunks += self._end_message(choice, is_cut=is_cut)
            case TurnEnd():
                self._ended.add(index)
                last = self._chunk(index, {}, finish_reason=_finish_reason(choice, event))
                if self.calls_to_run:
                    self._held = last
                else:
                    chunks.append(last)
        return chunks

    def finish(self, usage: Usage) -> list[ChatCompletionChunk | Error]:
        """The chunks after every choice has ended."""
        chunks: list[ChatCompletionChunk | Error] = [] if self._held is None else [self._held]
        if self._options.include_usage:
            chunks.append(self._envelope([], usage=to_usage(usage)))
        return chunks

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
        cite = self._options.cite
        self._choices[index] = _Choice(index, cited=None if cite is None else CitedText(cite))
        return [self._chunk(index, {"role": "assistant", "content": ""})]

    def _end_message(self, choice: _Choice, *, is_cut: bool) -> list[ChatCompletionChunk]:
        message, choice.open = choice.open, None
        if message is not None and message.builtin is not None and not is_cut:
            call_id, text = str(len(self._to_run)), "".join(choice.code)
            self._to_run.append(call_of_builtin(call_id, message.builtin, message.channel, text))
        if choice.cited is None:
            return []
        return self._content(choice, choice.cited.close(), None)

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
        if message.builtin is not None:
            choice.code.append(delta.text)
            return []
        if message.is_reasoning:
            return self._reasoning_delta(choice, delta)
        entry = None
        if logprob is not None and message.channel is Channel.FINAL and delta.token_id is not None:
            entry = to_logprob_entry(self._token_bytes, delta.token_id, logprob)
        text = choice.content.append(delta.text)
        said = (text, ()) if choice.cited is None else choice.cited.add(text)
        return self._content(choice, said, entry)

    def _content(
        self, choice: _Choice, said: tuple[str, Sequence[Citation]], entry: LogprobEntry | None
    ) -> list[ChatCompletionChunk]:
        text, citations = said
        if not text and entry is None:
            return []
        delta: ChatDelta = {"content": text}
        if citations:
            delta["annotations"] = [_to_annotation(one) for one in citations]
        return [self._chunk(choice.index, delta, logprob=entry)]

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


def _to_annotation(citation: Citation) -> ChatAnnotation:
    return {
        "type": "url_citation",
        "url_citation": {
            "start_index": citation.start,
            "end_index": citation.end,
            "url": citation.url,
            "title": citation.title,
        },
    }


def _finish_reason(choice: _Choice, end: TurnEnd) -> FinishReason:
    match end.reason:
        case TurnEndReason.LENGTH:
            return "length"
        case TurnEndReason.STOP:
            return "stop"
        case TurnEndReason.RETURN | TurnEndReason.CALL:
            return "tool_calls" if choice.calls else "stop"
