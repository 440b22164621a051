"""Token ids of a raw completion to events: one message of plain text, no format at all."""

from __future__ import annotations

import codecs
from collections import Counter

from mlxoss.harmony.encoding import END_OF_TEXT, STOP_IDS, Encoding, is_special
from mlxoss.harmony.events import (
    Channel,
    ContentDelta,
    Event,
    MessageEnd,
    MessageStart,
    TurnEnd,
    TurnEndReason,
)

RAW_STOP_IDS = STOP_IDS | {END_OF_TEXT}
"""What ends a raw completion: what ends a turn, and what ends a document."""


class RawParser:
    """Stands where ``TurnParser`` does; make a new one for each completion.

    Control tokens are no text: ``RAW_STOP_IDS`` end the completion, others are left out. Not
    safe to share between threads.
    """

    reasoning_tokens = 0

    def __init__(self, encoding: Encoding) -> None:
        self.recoveries: Counter[str] = Counter()
        self._token_bytes = encoding.token_bytes
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._has_begun = False
        self._has_ended = False

    def feed(self, token_id: int) -> list[Event]:
        """Take the next id and return what it completes."""
        if self._has_ended:
            return []
        if token_id in RAW_STOP_IDS:
            return self.finish(TurnEndReason.RETURN)
        if is_special(token_id):
            return []
        text = self._utf8.decode(self._token_bytes(token_id))
        return [*self._begin(), ContentDelta(text, token_id)]

    def finish(self, reason: TurnEndReason) -> list[Event]:
        """End the completion where it stands. After a ``TurnEnd`` it returns nothing."""
        if self._has_ended:
            return []
        self._has_ended = True
        leftover = self._utf8.decode(b"", final=True)
        rest = [ContentDelta(leftover)] if leftover else []
        end = MessageEnd(is_cut=reason is TurnEndReason.LENGTH)
        return [*self._begin(), *rest, end, TurnEnd(reason)]

    def _begin(self) -> list[Event]:
        start: list[Event] = [] if self._has_begun else [MessageStart(Channel.FINAL)]
        self._has_begun = True
        return start
