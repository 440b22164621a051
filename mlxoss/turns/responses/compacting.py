"""A response that sums its conversation up before it answers: ``context_management``."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

from mlxoss.api.responses.answers import ResponseEvent
from mlxoss.api.responses.items import CompactionItem
from mlxoss.api.responses.parse_items import read_items
from mlxoss.api.responses.stream import ResponsesStream
from mlxoss.errors import GenerationCancelled
from mlxoss.harmony.encoding import Encoding
from mlxoss.turns.answer import TurnAnswer
from mlxoss.turns.context import TurnContext
from mlxoss.turns.limits.hold import Hold
from mlxoss.turns.recall import make_seal
from mlxoss.turns.request_log import LoggedRequest
from mlxoss.turns.responses.run import ResponseKeeper
from mlxoss.turns.responses.summary import Summary
from mlxoss.turns.turn import Turn

GoOn = Callable[[CompactionItem], Awaitable[TurnAnswer[ResponseEvent]]]
"""Starts the answer to the conversation once it is summed up."""


class CompactingAnswer(TurnAnswer[ResponseEvent]):
    """A turn that writes the summary, and the answer behind it.

    ``turn`` is the one that runs. Nothing but the compaction item is sent of the first, and all
    are counted. Both run in ``hold``, so that the second is not refused for want of a place.
    """

    def __init__(
        self,
        context: TurnContext,
        encoding: Encoding,
        keeper: ResponseKeeper,
        hold: Hold,
        go_on: GoOn,
    ) -> None:
        super().__init__(context, encoding, keeper.turn, keeper.stream, keeper)
        self._hold = hold
        self._compacted: ResponsesStream = keeper.stream
        self._go_on = go_on
        self._second: TurnAnswer[ResponseEvent] | None = None

    @property
    def turn(self) -> Turn:
        """See ``TurnAnswer``."""
        return super().turn if self._second is None else self._second.turn

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
        second = await self._start_second()
        async with aclosing(second.steps(log)) as steps:
            async for events in steps:
                yield events

    def cancel(self) -> None:
        """See ``TurnAnswer``."""
        super().cancel()
        if self._second is not None:
            self._second.cancel()

    def close(self, log: LoggedRequest) -> None:
        """See ``TurnAnswer``."""
        if self._second is not None:
            self._second.close(log)
        else:
            super().close(log)
        self._hold.close()

    async def _start_second(self) -> TurnAnswer[ResponseEvent]:
        first = self.turn
        self._context.recoveries.update(first.close())
        (item,) = read_items(self._compacted.output)
        assert isinstance(item, CompactionItem)
        self._second = second = await self._go_on(item)
        second.go_on_from(first)
        if self._is_cancelled:
            second.cancel()
            raise GenerationCancelled("The response was cancelled.")
        return second
