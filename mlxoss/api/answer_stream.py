"""What an API makes of a turn: its events, streamed one by one or folded into one answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar, Generic, Protocol, TypeVar

from mlxoss.api.answers import Error, PromptProgressReport
from mlxoss.api.errors import HttpError
from mlxoss.api.sse import COMMENT, DONE, MEDIA, encode_event
from mlxoss.api.turn_request import TurnOutput, Usage
from mlxoss.core import JsonMapping

EventT = TypeVar("EventT", bound=JsonMapping)
ChunkT = TypeVar("ChunkT", bound=JsonMapping)
EventT_contra = TypeVar("EventT_contra", bound=JsonMapping, contravariant=True)


class Fold(Protocol[EventT_contra]):
    """The unstreamed answer: made of the very events that a stream would have sent."""

    def add(self, event: EventT_contra, /) -> None:
        """Take in the next event."""

    def answer(self) -> JsonMapping:
        """The answer, after the last."""


class AnswerStream(ABC, Generic[EventT]):
    """One answer's events. Nothing here is sent: callers send.

    ``begin`` once, ``feed`` for every output of the turn, then ``finish`` or ``fail``. In silence,
    at any time, ``still_working``, or ``beat`` over HTTP, is sent before what is made after it.
    ``media`` is what it is sent as, ``headers`` are sent besides those of every stream.
    """

    media: ClassVar[str] = MEDIA
    headers: ClassVar[Mapping[str, str]] = MappingProxyType({})

    def begin(self, usage: Usage) -> list[EventT]:
        """The events before any of the turn's."""
        return []

    @abstractmethod
    def feed(self, output: TurnOutput) -> list[EventT]:
        """The events for ``output``."""

    @abstractmethod
    def finish(self, usage: Usage) -> list[EventT]:
        """The events after all of the turn's."""

    @abstractmethod
    def fail(self, error: HttpError, usage: Usage) -> list[EventT]:
        """The events instead of the rest, where the turn broke and the stream had begun."""

    @abstractmethod
    def still_working(self) -> list[EventT]:
        """Events that change nothing, to keep a client that hears nothing; none where there is no
        place for one.

        Events, since the clocks of some clients, Codex among them, do not see comments.
        """

    @abstractmethod
    def prompt_progress(self, progress: PromptProgressReport) -> list[EventT]:
        """Events that tell how far the prompt is, for who asked for them."""

    def beat(self) -> bytes:
        """``still_working`` as it is sent, or else a comment."""
        return self.encode(self.still_working()) or COMMENT

    @abstractmethod
    def make_fold(self) -> Fold[EventT]:
        """What makes the unstreamed answer of this stream's events."""

    @abstractmethod
    def encode(self, events: Sequence[EventT]) -> bytes:
        """Events as they are sent."""

    def close(self) -> bytes:
        """What is sent behind the last event."""
        return b""


class ChunkStream(AnswerStream[ChunkT | Error], Generic[ChunkT]):
    """A stream of chunks without names, as chat completions and completions have it.

    It has so many ``choices``. It ends with ``[DONE]`` unless the turn broke: then with an event
    ``error``.
    """

    _has_failed = False

    def __init__(self, choices: int) -> None:
        self._indices = range(choices)
        self._ended: set[int] = set()

    def _open_choice(self) -> int | None:
        """The first choice that has not ended: of that one an empty chunk may still come."""
        return next((index for index in self._indices if index not in self._ended), None)

    def fail(self, error: HttpError, usage: Usage) -> list[ChunkT | Error]:
        """The error in OpenAI's shape."""
        self._has_failed = True
        return [error.body]

    def encode(self, events: Sequence[ChunkT | Error]) -> bytes:
        """Chunks have no names, errors have."""
        return b"".join(
            encode_event(event, event="error" if "error" in event else None) for event in events
        )

    def close(self) -> bytes:
        """``[DONE]`` unless the turn broke."""
        return b"" if self._has_failed else DONE
