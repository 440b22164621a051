"""A client of one streamed chat completion."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mlxoss.cli.client.http import Server

CHAT = "/v1/chat/completions"


@dataclass(frozen=True, slots=True)
class ReasoningPiece:
    """A piece of the model's reasoning."""

    text: str


@dataclass(frozen=True, slots=True)
class ContentPiece:
    """A piece of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class EndPiece:
    """The end, with OpenAI's ``finish_reason``."""

    reason: str


@dataclass(frozen=True, slots=True)
class ProgressPiece:
    """How far the prompt is, in tokens; ``elapsed_s`` is since its computing began."""

    total: int
    cached: int
    done: int
    elapsed_s: float

    @property
    def left_s(self) -> float | None:
        """How long the rest should take; ``None`` before anything was computed."""
        computed = self.done - self.cached
        return None if computed <= 0 else (self.total - self.done) * self.elapsed_s / computed


Piece = ProgressPiece | ReasoningPiece | ContentPiece | EndPiece


@dataclass(frozen=True, slots=True)
class PromptMessage:
    """What was said: ``role`` is ``user`` or ``assistant``."""

    role: str
    content: str


def stream_chat(
    server: Server,
    messages: Sequence[PromptMessage],
    effort: str | None = None,
    *,
    tells_progress: bool = False,
) -> Generator[Piece, None, None]:
    """The answer to ``messages``; with ``tells_progress`` how far the prompt is goes before it.

    Raises as ``Server`` does; closing the iterator makes the server stop.
    """
    body: dict[str, object] = {
        "model": "default",
        "messages": [asdict(message) for message in messages],
        "stream": True,
    }
    if effort is not None:
        body["reasoning_effort"] = str(effort)
    if tells_progress:
        body["return_progress"] = True
    for chunk in server.stream(CHAT, body):
        yield from _pieces(chunk)


def _pieces(chunk: Any) -> Iterator[Piece]:
    if told := chunk.get("prompt_progress"):
        elapsed_s = told["time_ms"] / 1000
        yield ProgressPiece(told["total"], told["cache"], told["processed"], elapsed_s)
    for choice in chunk.get("choices", []):
        delta = choice.get("delta", {})
        if reasoning := delta.get("reasoning"):
            yield ReasoningPiece(reasoning)
        if content := delta.get("content"):
            yield ContentPiece(content)
        if reason := choice.get("finish_reason"):
            yield EndPiece(reason)
