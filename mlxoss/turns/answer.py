"""The last mile of every turn, whatever the API: feed, keep, tell, close."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Generic, Protocol

from mlxoss.api.answer_stream import AnswerStream, EventT
from mlxoss.api.errors import HttpError, to_http_error
from mlxoss.core import JsonMapping
from mlxoss.errors import GenerationCancelled, MlxossError
from mlxoss.harmony.encoding import Encoding
from mlxoss.turns.context import TurnContext
from mlxoss.turns.end import close_turn
from mlxoss.turns.recall import CallMemory
from mlxoss.turns.request_log import LoggedRequest
from mlxoss.turns.running import to_report
from mlxoss.turns.turn import Turn

logger = logging.getLogger(__name__)


class Keeper(Protocol[EventT]):
    """Keeps what is to be had of a turn later on."""

    async def keep_step(self) -> None:
        """After every step, before its events are sent."""

    async def keep_end(
        self, last: list[EventT], failure: Exception | None, log: LoggedRequest
    ) -> list[EventT]:
        """Before the ``last`` events are sent: these, or what to send instead if that fails."""


class CallKeeper(Generic[EventT]):
    """Keeps the turns that made calls, if a memory is given."""

    def __init__(self, memory: CallMemory | None = None) -> None:
        self._memory = memory

    async def keep_step(self) -> None:
        """Keep those that have ended."""
        if self._memory is not None:
            await self._memory.keep()

    async def keep_end(
        self, last: list[EventT], failure: Exception | None, log: LoggedRequest
    ) -> list[EventT]:
        """Nothing is left to keep."""
        return last


class TurnAnswer(Generic[EventT]):
    """A turn that is in the engine on its way to the client. ``close`` it, whatever happened.

    ``fold`` it, or send its ``batches``; who sends them another way takes ``steps`` and then
    ``end``. Belongs to the event loop's thread.
    """

    def __init__(
        self,
        context: TurnContext,
        encoding: Encoding,
        turn: Turn,
        stream: AnswerStream[EventT],
        keeper: Keeper[EventT],
    ) -> None:
        self.stream = stream
        self._turn = turn
        self._context = context
        self._encoding = encoding
        self._keeper = keeper
        self._has_begun = False
        self._is_cancelled = False

    @property
    def turn(self) -> Turn:
        """The turn that runs, or ran last."""
        return self._turn

    async def fold(self, log: LoggedRequest) -> JsonMapping:
        """The whole answer. Raises what broke it."""
        fold = self.stream.make_fold()
        async for events in self.steps(log):
            for event in events:
                fold.add(event)
        for event in await self._keeper.keep_end(self.end(log), None, log):
            fold.add(event)
        return fold.answer()

    async def batches(
        self,
        log: LoggedRequest,
        *,
        at_once: bool = False,
        is_told: Callable[[], bool] = lambda: True,
    ) -> AsyncGenerator[list[EventT], None]:
        """Everything to send, in batches. What is kept is on the disk before the last one.

        The first comes with the first token, or ``at_once``. What breaks the turn is an event, or
        raised where ``is_told`` says that the client was told of nothing yet.
        """
        if at_once:
            yield self._begin()
        try:
            async with aclosing(self.steps(log)) as steps:
                async for events in steps:
                    yield events
            last = await self._keeper.keep_end(self.end(log), None, log)
        except Exception as error:
            if self._is_taken_back(error) or not is_told():
                raise
            last = await self._keeper.keep_end(self.end(log, error), error, log)
        if last:
            yield last

    async def steps(self, log: LoggedRequest) -> AsyncGenerator[list[EventT], None]:
        """The events that each step brings, if any, all but those of ``end``.

        Raises what breaks the turn.
        """
        log.follow(self.turn)
        async for outputs in self.turn:
            if not outputs and self.turn.is_prefilling:
                yield self._tell_progress()
                continue
            log.note_tokens()
            events = self._begin()
            for output in outputs:
                events += self.stream.feed(output)
            await self._keeper.keep_step()
            if events:
                yield events

    def end(self, log: LoggedRequest, failure: Exception | None = None) -> list[EventT]:
        """The last events, as things went."""
        if failure is None:
            return self.stream.finish(self.turn.usage)
        log.note_failure(failure)
        return self.stream.fail(to_told(failure, log.id), self.turn.usage)

    def go_on_from(self, first: Turn) -> None:
        """It is the second part of an answer whose beginning was sent; ``first`` counts with it."""
        self._has_begun = True
        self.turn.go_on_from(first)

    def cancel(self) -> None:
        """Take it back: iterating raises GenerationCancelled."""
        self._is_cancelled = True
        self.turn.close()

    def close(self, log: LoggedRequest) -> None:
        """Cancel the turn if it still runs, and note its counts."""
        close_turn(self.turn, self._context, self._encoding, log)

    def _begin(self) -> list[EventT]:
        if self._has_begun:
            return []
        self._has_begun = True
        return self.stream.begin(self.turn.usage)

    def _tell_progress(self) -> list[EventT]:
        """How far the prompt is."""
        progress = to_report(self.turn.slowest.prompt)
        return [*self._begin(), *self.stream.prompt_progress(progress)]

    def _is_taken_back(self, error: Exception) -> bool:
        return isinstance(error, GenerationCancelled) and self.turn.is_closed


def to_told(error: BaseException, request_id: str) -> HttpError:
    """The error to tell the client. Logs the ones that nobody expects."""
    if not isinstance(error, MlxossError):
        logger.error("%s failed", request_id, exc_info=error)
    return to_http_error(error)


def make_cancelled() -> GenerationCancelled:
    """What ends an answer that was taken back while the model did not run."""
    return GenerationCancelled("The response was cancelled.")
