"""One choice of a turn: stop strings are applied to its events, and a model that loops is cut."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from mlxoss.api.turn_request import TurnOutput
from mlxoss.core import FinishReason, TokenLogprob, TokenOutput
from mlxoss.engine.generation import Generation
from mlxoss.harmony.events import (
    Channel,
    ContentDelta,
    Event,
    MessageEnd,
    MessageStart,
    TurnEnd,
    TurnEndReason,
)
from mlxoss.harmony.parser import TurnParser
from mlxoss.harmony.raw_parser import RawParser
from mlxoss.harmony.stop import StopMatcher

logger = logging.getLogger(__name__)

MOST_AT_ONCE = 64
"""Tokens: what came while the client did not read is shaped and sent bit by bit, so that it
never lies around as text, and other streams go on between."""

CHECK_TOKENS = 128
"""How often a text is looked at: each look takes about as many steps as the text is long."""

LEAST_REPEATS = 8


class TurnChoice:
    """One generation on its way from ids to outputs. Belongs to the event loop's thread."""

    def __init__(
        self,
        generation: Generation,
        parser: TurnParser | RawParser,
        gate: FinalTextGate,
        *,
        single_call: bool,
        loop_tokens: int,
    ) -> None:
        self.generation = generation
        self.parser = parser
        self.token_ids: list[int] = []
        self.has_ended = False
        self._unread: deque[TokenOutput] = deque()
        self._gate = gate
        self._single_call = single_call
        self._loop_tokens = loop_tokens
        self._call: MessageStart | None = None

    @property
    def tokens(self) -> int:
        """How many were taken."""
        return len(self.token_ids)

    @property
    def has_unread(self) -> bool:
        """Whether ``take`` was given more than it took."""
        return bool(self._unread) and not self.has_ended

    def take(self, tokens: Sequence[TokenOutput] = ()) -> list[TurnOutput]:
        """Take ``tokens`` in, up to MOST_AT_ONCE of those that were given so far."""
        self._unread.extend(tokens)
        outputs: list[TurnOutput] = []
        for _ in range(min(len(self._unread), MOST_AT_ONCE)):
            if not self.has_ended:
                outputs += self._take_one(self._unread.popleft())
        return outputs

    def _take_one(self, token: TokenOutput) -> list[TurnOutput]:
        self.token_ids.append(token.token_id)
        events = self.parser.feed(token.token_id)
        is_cut = token.finish is FinishReason.LENGTH
        if token.finish is None and self._is_looping():
            logger.warning("an answer is cut: its last %d tokens repeat", self._loop_tokens)
            self.generation.cancel()
            is_cut = True
        if token.finish is not None or is_cut:
            events += self.parser.finish(TurnEndReason.LENGTH if is_cut else TurnEndReason.RETURN)
        outputs: list[TurnOutput] = []
        for event in events:
            outputs += self._gate.push(event, token.logprob)
            if self._gate.hit is not None:
                return outputs + self._stop()
            if isinstance(event, TurnEnd):
                self.has_ended = True
            if self._ends_turn(event):
                return outputs + self._end(TurnEndReason.CALL)
        return outputs

    def _is_looping(self) -> bool:
        """Arguments are exempt: data may well repeat."""
        return self._call is None and is_looping(self.token_ids, self._loop_tokens)

    def _ends_turn(self, event: Event) -> bool:
        """Whether ``event`` ends a call that nothing may follow: the only one that is wanted, or a
        built-in tool's, whatever the model ended it with. One that was cut ends as what it is."""
        if isinstance(event, MessageStart):
            self._call = event if event.is_call else None
        if self._call is None or not isinstance(event, MessageEnd) or event.is_cut:
            return False
        return self._single_call or self._call.builtin is not None

    def _stop(self) -> list[TurnOutput]:
        """A stop string was found: end the choice there."""
        # The parser may be past the end of this message already: one that it takes out of a
        # broken header comes whole. So the ending is not its to tell.
        return [TurnOutput(self._gate.index, MessageEnd()), *self._end(TurnEndReason.STOP)]

    def _end(self, reason: TurnEndReason) -> list[TurnOutput]:
        """End the choice before the model does."""
        self.has_ended = True
        self.generation.cancel()
        self.parser.finish(reason)
        return [TurnOutput(self._gate.index, TurnEnd(reason, self._gate.hit))]


class PromptChoice(TurnChoice):
    """One of which only the prompt was wanted: it ends with its first token, which is not taken."""

    def _take_one(self, token: TokenOutput) -> list[TurnOutput]:
        self.has_ended = True
        return []


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


def is_looping(token_ids: Sequence[int], span: int) -> bool:
    """Whether the last ``span`` tokens are one passage, said at least eight times over.

    Looks only at every 128th token, and never with a ``span`` of 0.
    """
    if not span or len(token_ids) < span or len(token_ids) % CHECK_TOKENS:
        return False
    return _period(token_ids[len(token_ids) - span :]) * LEAST_REPEATS <= span


def _period(ids: Sequence[int]) -> int:
    """The least distance at which ``ids`` repeats itself: Knuth, Morris and Pratt's table."""
    borders = [0] * len(ids)
    border = 0
    for index in range(1, len(ids)):
        while border and ids[index] != ids[border]:
            border = borders[border - 1]
        border += ids[index] == ids[border]
        borders[index] = border
    return len(ids) - border
