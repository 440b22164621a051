"""A response that has something to do before it answers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing

from mlxoss.api.responses.answers import ResponseEvent
from mlxoss.harmony.encoding import Encoding
from mlxoss.turns.answer import TurnAnswer, make_cancelled
from mlxoss.turns.context import TurnContext
from mlxoss.turns.limits.hold import Hold
from mlxoss.turns.request_log import LoggedRequest
from mlxoss.turns.responses.run import ResponseKeeper
from mlxoss.turns.turn import Turn

ResponseAnswer = TurnAnswer[ResponseEvent]


class AnswerInParts(ResponseAnswer):
    """What is done first, and the answer behind it.

    ``turn`` is the one that runs, at first that of ``keeper``. All are counted, and run in
    ``hold``, so that the second is not refused for want of a place.
    """

    def __init__(
        self, context: TurnContext, encoding: Encoding, keeper: ResponseKeeper, hold: Hold
    ) -> None:
        super().__init__(context, encoding, keeper.turn, keeper.stream, keeper)
        self._hold = hold
        self._second: ResponseAnswer | None = None

    @property
    def turn(self) -> Turn:
        """See ``TurnAnswer``."""
        return super().turn if self._second is None else self._second.turn

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

    async def _go_on(
        self, start: Awaitable[ResponseAnswer], log: LoggedRequest
    ) -> AsyncGenerator[list[ResponseEvent], None]:
        """The steps of the answer that ``start`` gives."""
        first = self.turn
        self._context.recoveries.update(first.close())
        self._second = second = await start
        second.go_on_from(first)
        if self._is_cancelled:
            second.cancel()
            raise make_cancelled()
        async with aclosing(second.steps(log)) as steps:
            async for events in steps:
                yield events
