"""Stop strings applied to a turn's events."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from mlxoss.core import TokenLogprob
from mlxoss.harmony.events import Channel, ContentDelta, Event, MessageEnd, MessageStart
from mlxoss.harmony.stop import StopMatcher


@dataclass(frozen=True, slots=True)
class TurnOutput:
    """An event of choice ``index``, with the log probability of its token if there is one."""

    index: int
    event: Event
    logprob: TokenLogprob | None = None


@dataclass(slots=True)
class _Held:
    """A delta whose text is not out yet: all of it, or what is ``left`` to come."""

    delta: ContentDelta
    logprob: TokenLogprob | None
    left: int


class FinalTextGate:
    """Holds back final text that may become a stop string; passes everything else.

    A token's id and log probability go out with the last of its text, so those
    of a stop string never do.
    """

    def __init__(self, index: int, stops: Sequence[str]) -> None:
        self.index = index
        self._stops = stops
        self._matcher: StopMatcher | None = None
        self._held: deque[_Held] = deque()
        self.hit: str | None = None

    def push(self, event: Event, logprob: TokenLogprob | None) -> list[TurnOutput]:
        """What may go out now. After a ``hit``, the stop string, the message is still open."""
        match event:
            case MessageStart(channel=Channel.FINAL, recipient=None) if self._stops:
                self._matcher = StopMatcher(self._stops)
            case ContentDelta() if self._matcher is not None:
                self._held.append(_Held(event, logprob, len(event.text)))
                text, is_hit = self._matcher.push(event.text)
                self.hit = self._matcher.hit
                return self._release(text, also_empty=not is_hit)
            case MessageEnd() if self._matcher is not None:
                rest = self._release(self._matcher.flush(), also_empty=True)
                self._matcher = None
                return [*rest, TurnOutput(self.index, event)]
        return [TurnOutput(self.index, event, logprob)]

    def _release(self, text: str, *, also_empty: bool) -> list[TurnOutput]:
        outputs: list[TurnOutput] = []
        while self._held and (text or (also_empty and self._held[0].left == 0)):
            held = self._held[0]
            piece, text = text[: held.left], text[held.left :]
            held.left -= len(piece)
            if held.left:
                outputs.append(TurnOutput(self.index, ContentDelta(piece)))
            else:
                self._held.popleft()
                delta = ContentDelta(piece, held.delta.token_id)
                outputs.append(TurnOutput(self.index, delta, held.logprob))
        return outputs
