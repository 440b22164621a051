"""A response that sums its conversation up before it answers: ``context_management``."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

from mlxoss.api.responses.answers import ResponseEvent
from mlxoss.api.responses.items import CompactionItem
from mlxoss.api.responses.parse_items import read_items
from mlxoss.api.responses.stream import ResponsesStream
from mlxoss.harmony.encoding import Encoding
from mlxoss.turns.context import TurnContext
from mlxoss.turns.limits.hold import Hold
from mlxoss.turns.recall import make_seal
from mlxoss.turns.request_log import LoggedRequest
from mlxoss.turns.responses.parts import AnswerInParts, ResponseAnswer
from mlxoss.turns.responses.run import ResponseKeeper
from mlxoss.turns.responses.summary import Summary

GoOn = Callable[[CompactionItem], Awaitable[ResponseAnswer]]
"""Starts the answer to the conversation once it is summed up."""


class CompactingAnswer(AnswerInParts):
    """A turn that writes the summary, and the answer behind it.

    Nothing but the compaction item is sent of the first.
    """

    def __init__(
        self,
        context: TurnContext,
        encoding: Encoding,
        keeper: ResponseKeeper,
        hold: Hold,
        go_on: GoOn,
    ) -> None:
        super().__init__(context, encoding, keeper, hold)
        self._compacted: ResponsesStream = keeper.stream
        self._start_second = go_on

    async def steps(self, log: LoggedRequest) -> AsyncGenerator[list[ResponseEvent], None]:
        """See ``TurnAnswer``."""
        log.follow(self.turn)
        summary = Summary()
        has_begun = False
        async for outputs in self.turn:
            if not outputs and self.turn.is_prefilling:
                yield self._tell_progress()
                continue
            log.note_tokens()
            summary.add(outputs)
            if not has_begun:
                has_begun = True
                yield [*self._begin(), *self._compacted.begin_compaction()]
        yield self._compacted.end_compaction(make_seal(self._context).seal_compaction(summary.text))
        item = read_items(self._compacted.output)[-1]
        assert isinstance(item, CompactionItem)
        async with aclosing(self._go_on(self._start_second(item), log)) as steps:
            async for events in steps:
                yield events
