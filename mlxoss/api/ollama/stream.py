"""From the chunks of chat completions to the lines of ``POST /api/chat``, or to its whole answer.

Ollama writes a JSON object a line. A call comes as a whole, its arguments as an object.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from mlxoss.api.answer_stream import AnswerStream
from mlxoss.api.answers import LogprobEntry, OllamaError, PromptProgressReport
from mlxoss.api.chat.answers import CallDelta, ChunkChoice, FinishReason
from mlxoss.api.chat.stream import ChatStream
from mlxoss.api.errors import HttpError
from mlxoss.api.ollama.answers import OllamaCall, OllamaChat, OllamaMessage
from mlxoss.api.sse import encode_json
from mlxoss.api.times import to_rfc3339
from mlxoss.api.turn_request import TurnOutput, Usage
from mlxoss.errors import GenerationFailed

Line = OllamaChat | OllamaError

_NANOSECONDS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class OllamaTimes:
    """When the request came, a Unix time in seconds, and the seconds since then.

    ``wait_s`` gives those before it had its slot.
    """

    begun_at: float
    elapsed_s: Callable[[], float]
    wait_s: Callable[[], float]


@dataclass(slots=True)
class _Call:
    """A call that is being written."""

    id: str
    index: int
    name: str
    text: list[str] = field(default_factory=list)

    def to_json(self) -> OllamaCall | None:
        """``None`` if its arguments are no object."""
        try:
            arguments = json.loads("".join(self.text) or "{}")
        except (ValueError, RecursionError):
            return None
        if not isinstance(arguments, dict):
            return None
        return {
            "id": self.id,
            "function": {"index": self.index, "name": self.name, "arguments": arguments},
        }


class OllamaStream(AnswerStream[Line]):
    """The lines of one answer, made of those of ``chat``, which has one choice."""

    media = "application/x-ndjson"

    def __init__(self, chat: ChatStream, model: str, times: OllamaTimes) -> None:
        self._chat = chat
        self._model = model
        self._times = times
        self._call: _Call | None = None
        self._reason: FinishReason | None = None
        self._first_s: float | None = None

    def feed(self, output: TurnOutput) -> list[Line]:
        """The lines for ``output``."""
        if self._first_s is None:
            self._first_s = self._times.elapsed_s()
        lines: list[Line] = []
        for chunk in self._chat.feed(output):
            for choice in () if "error" in chunk else chunk["choices"]:
                lines += self._read(choice)
        return lines

    def finish(self, usage: Usage) -> list[Line]:
        """The line that is ``done``."""
        total_s, wait_s = self._times.elapsed_s(), self._times.wait_s()
        first_s = total_s if self._first_s is None else self._first_s
        last = self._line()
        last |= {
            "done": True,
            "done_reason": "length" if self._reason == "length" else "stop",
            "total_duration": _to_nanoseconds(total_s),
            "load_duration": _to_nanoseconds(wait_s),
            "prompt_eval_count": usage.prompt_tokens,
            "prompt_eval_duration": _to_nanoseconds(first_s - wait_s),
            "eval_count": usage.completion_tokens,
            "eval_duration": _to_nanoseconds(total_s - first_s),
        }
        return [last]

    def fail(self, error: HttpError, usage: Usage) -> list[Line]:
        """The error in Ollama's shape."""
        return [error.ollama_body]

    def still_working(self) -> list[Line]:
        """A message without text, as Ollama's clients take any: they read no empty lines."""
        return [self._line()]

    def prompt_progress(self, progress: PromptProgressReport) -> list[Line]:
        """Nothing: Ollama has no word for it."""
        return []

    def make_fold(self) -> OllamaFold:
        """What makes the whole answer."""
        return OllamaFold()

    def encode(self, events: Sequence[Line]) -> bytes:
        """Each on a line of its own."""
        return b"".join(encode_json(event) + b"\n" for event in events)

    def _read(self, choice: ChunkChoice) -> Iterator[Line]:
        delta, reason = choice["delta"], choice["finish_reason"]
        self._reason = reason or self._reason
        calls = delta.get("tool_calls", ())
        if not calls or "id" in calls[0]:
            yield from self._end_call(is_cut=reason in ("length", "stop"))
        for call in calls:
            self._go_on(call)
        text, logprobs = delta.get("content"), choice["logprobs"]
        if text or logprobs is not None:
            line = self._line(text or "")
            if logprobs is not None:
                line["logprobs"] = logprobs["content"]
            yield line
        if thinking := delta.get("reasoning"):
            line = self._line()
            line["message"]["thinking"] = thinking
            yield line

    def _go_on(self, call: CallDelta) -> None:
        function = call["function"]
        if "id" in call:
            self._call = _Call(call["id"], call["index"], function["name"])
        assert self._call is not None
        self._call.text.append(function["arguments"])

    def _end_call(self, *, is_cut: bool) -> Iterator[Line]:
        """The call that was being written, unless it is cut: half an object is none."""
        ended, self._call = self._call, None
        if ended is None:
            return
        call = ended.to_json()
        if call is not None:
            line = self._line()
            line["message"]["tool_calls"] = [call]
            yield line
        elif not is_cut:
            raise GenerationFailed(
                f"The model called '{ended.name}' with what is no JSON object, which Ollama's API "
                "cannot hold."
            )

    def _line(self, content: str = "") -> OllamaChat:
        return {
            "model": self._model,
            "created_at": to_rfc3339(self._times.begun_at + self._times.elapsed_s()),
            "message": {"role": "assistant", "content": content},
            "done": False,
        }


class OllamaFold:
    """Collects an answer's lines."""

    def __init__(self) -> None:
        self._content: list[str] = []
        self._thinking: list[str] = []
        self._calls: list[OllamaCall] = []
        self._logprobs: list[LogprobEntry] = []
        self._last: OllamaChat | None = None

    def add(self, event: Line) -> None:
        """Take in one line of OllamaStream."""
        if "error" in event:
            return
        self._last = event
        message = event["message"]
        self._content.append(message["content"])
        self._thinking.append(message.get("thinking", ""))
        self._calls += message.get("tool_calls", ())
        self._logprobs += event.get("logprobs", ())

    def answer(self) -> OllamaChat:
        """The last line, with all that the message is."""
        assert self._last is not None
        message: OllamaMessage = {"role": "assistant", "content": "".join(self._content)}
        if thinking := "".join(self._thinking):
            message["thinking"] = thinking
        if self._calls:
            message["tool_calls"] = self._calls
        answer: OllamaChat = {**self._last, "message": message}
        if self._logprobs:
            answer["logprobs"] = self._logprobs
        return answer


def _to_nanoseconds(seconds: float) -> int:
    return round(max(seconds, 0.0) * _NANOSECONDS)
