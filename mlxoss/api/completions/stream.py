"""From raw completions' events to the chunks of ``POST /v1/completions``, and their fold."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mlxoss.api.answer_stream import ChunkStream
from mlxoss.api.answers import Error, PromptProgressReport
from mlxoss.api.common import CompletionHeader, CompletionUsage, to_usage
from mlxoss.api.completions.answers import (
    Completion,
    CompletionChoice,
    CompletionLogprobs,
    FinishWord,
)
from mlxoss.api.logprobs import least_logprob
from mlxoss.api.turn_request import TurnOutput, Usage
from mlxoss.core import TokenLogprob
from mlxoss.harmony.events import ContentDelta, TurnEnd, TurnEndReason

Chunk = Completion | Error


class CompletionStream(ChunkStream[Completion]):
    """One request's chunks, choice by choice.

    There are so many ``choices``, of all prompts together. ``token_bytes`` gives a token's bytes.
    ``echoes`` are the prompts' texts, one for each choice, if these begin with them. With
    ``include_usage`` as in ChatStream.
    """

    def __init__(
        self,
        header: CompletionHeader,
        *,
        choices: int,
        token_bytes: Callable[[int], bytes],
        echoes: Sequence[str] = (),
        include_usage: bool = False,
    ) -> None:
        super().__init__(choices)
        self._header = header
        self._token_bytes = token_bytes
        self._echoes = echoes
        self._include_usage = include_usage
        self._sent_chars = {index: len(text) for index, text in enumerate(echoes)}
        self._token_starts = dict(self._sent_chars)

    def begin(self, usage: Usage) -> list[Chunk]:
        """The echoes, before any choice's own text."""
        return [self._chunk(index, text) for index, text in enumerate(self._echoes)]

    def feed(self, output: TurnOutput) -> list[Chunk]:
        """The chunks for ``output``."""
        index, logprob = output.index, output.logprob
        match output.event:
            case ContentDelta(text, token_id):
                start, entry = self._token_starts.get(index, 0), None
                if token_id is not None and logprob is not None:
                    entry = self._to_logprobs(token_id, logprob, start)
                self._sent_chars[index] = self._sent_chars.get(index, 0) + len(text)
                if token_id is not None:  # a stop string may have held back the end of its text
                    self._token_starts[index] = self._sent_chars[index]
                return [self._chunk(index, text, logprobs=entry)] if text or entry else []
            case TurnEnd(reason):
                self._ended.add(index)
                finish: FinishWord = "length" if reason is TurnEndReason.LENGTH else "stop"
                return [self._chunk(index, "", finish_reason=finish)]
        return []

    def finish(self, usage: Usage) -> list[Chunk]:
        """The chunks after every choice has ended."""
        return [self._envelope([], usage=to_usage(usage))] if self._include_usage else []

    def still_working(self) -> list[Chunk]:
        """A chunk without text."""
        index = self._open_choice()
        return [] if index is None else [self._chunk(index, "")]

    def prompt_progress(self, progress: PromptProgressReport) -> list[Chunk]:
        """A chunk without text that has it beside it."""
        return [{**self._chunk(self._open_choice() or 0, ""), "prompt_progress": progress}]

    def make_fold(self) -> CompletionFold:
        """What makes the whole completion."""
        return CompletionFold()

    def _to_logprobs(self, token_id: int, logprob: TokenLogprob, offset: int) -> CompletionLogprobs:
        """OpenAI's columns, one token long; a token is among its own alternatives."""
        value = least_logprob(logprob.logprob)
        top = {self._spell(id_): least_logprob(one) for id_, one in logprob.top}
        text = self._spell(token_id)
        return {
            "tokens": [text],
            "token_logprobs": [value],
            "top_logprobs": [top | {text: value}],
            "text_offset": [offset],
        }

    def _spell(self, token_id: int) -> str:
        """A token's text; a part of a character by its bytes, as OpenAI writes it."""
        token = self._token_bytes(token_id)
        try:
            return token.decode()
        except UnicodeDecodeError:
            return "bytes:" + "".join(f"\\x{byte:02x}" for byte in token)

    def _chunk(
        self,
        index: int,
        text: str,
        *,
        logprobs: CompletionLogprobs | None = None,
        finish_reason: FinishWord | None = None,
    ) -> Completion:
        choice: CompletionChoice = {
            "index": index,
            "text": text,
            "logprobs": logprobs,
            "finish_reason": finish_reason,
        }
        return self._envelope([choice])

    def _envelope(
        self, choices: list[CompletionChoice], *, usage: CompletionUsage | None = None
    ) -> Completion:
        chunk: Completion = {
            "id": self._header.id,
            "object": "text_completion",
            "created": self._header.created,
            "model": self._header.model,
            "choices": choices,
        }
        if self._include_usage:
            chunk["usage"] = usage
        return chunk


class CompletionFold:
    """Collects a completion's chunks; the last one has the usage."""

    def __init__(self) -> None:
        self._choices: dict[int, CompletionChoice] = {}
        self._texts: dict[int, list[str]] = {}
        self._last: Completion | None = None

    def add(self, chunk: Completion | Error) -> None:
        """Take in one chunk of CompletionStream."""
        if "error" in chunk:
            return
        self._last = chunk
        for more in chunk["choices"]:
            choice = self._choices.setdefault(more["index"], {**more, "logprobs": None})
            self._texts.setdefault(more["index"], []).append(more["text"])
            choice["logprobs"] = _add(choice["logprobs"], more["logprobs"])
            choice["finish_reason"] = more["finish_reason"]

    def answer(self) -> Completion:
        """The ``text_completion`` object."""
        assert self._last is not None
        whole: list[CompletionChoice] = [
            {**self._choices[index], "text": "".join(self._texts[index])}
            for index in sorted(self._choices)
        ]
        return {**self._last, "choices": whole}


def _add(
    columns: CompletionLogprobs | None, more: CompletionLogprobs | None
) -> CompletionLogprobs | None:
    if columns is None or more is None:
        return more if columns is None else columns
    columns["tokens"] += more["tokens"]
    columns["token_logprobs"] += more["token_logprobs"]
    columns["top_logprobs"] += more["top_logprobs"]
    columns["text_offset"] += more["text_offset"]
    return columns
