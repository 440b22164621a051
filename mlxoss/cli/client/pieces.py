"""What a streamed answer brings to a command, piece by piece."""

from __future__ import annotations

from dataclasses import dataclass

from mlxoss.core import JsonObject


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


@dataclass(frozen=True, slots=True)
class ReasoningPiece:
    """A piece of what the model says before its answer: reasoning, or a preamble of a call."""

    text: str


@dataclass(frozen=True, slots=True)
class RunningPiece:
    """A tool of the server began to run. ``asked`` is empty where that is told at its end only."""

    did: str
    asked: str = ""


@dataclass(frozen=True, slots=True)
class CallPiece:
    """A tool of the server has run: what it ``did`` with what was ``asked``, and its ``answer``.

    ``images`` are ``data:`` URLs, as the server gave them.
    """

    did: str
    asked: str
    answer: str = ""
    images: tuple[str, ...] = ()
    is_failed: bool = False


@dataclass(frozen=True, slots=True)
class ContentPiece:
    """A piece of the answer; ``marked`` has numbers of sources for links, if there are any."""

    text: str
    marked: str | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """A page that the answer cites."""

    title: str
    url: str


@dataclass(frozen=True, slots=True)
class EndPiece:
    """The end. ``items`` are what the next request says of this answer, ``is_cut`` at the limit of
    tokens; ``sources`` are each there once, in the order in which they are cited.
    """

    items: tuple[JsonObject, ...]
    sources: tuple[Source, ...] = ()
    is_cut: bool = False


Piece = ProgressPiece | ReasoningPiece | RunningPiece | CallPiece | ContentPiece | EndPiece
