"""Background responses: they run on without their client, and can be followed and cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import ExitStack, aclosing

from mlxoss.api.errors import invalid
from mlxoss.api.responses.answers import ResponseEvent, ResponseObject, ResponseStatus
from mlxoss.errors import GenerationCancelled, RequestError, StoreError
from mlxoss.store.store import Store
from mlxoss.turns.context import TurnContext
from mlxoss.turns.request_log import LoggedRequest
from mlxoss.turns.responses.kept import read_jsons_of_events, to_kept_events
from mlxoss.turns.responses.run import ResponseRun


class BackgroundRuns:
    """The background responses of one server that run, by their ids.

    Events are in the store before anybody is told of them. One whose end the store did not take
    stays here with its last events, so that whoever asks is told as long as the process lives.
    The event loop's thread.
    """

    def __init__(self, context: TurnContext) -> None:
        self._context = context
        self._runs: dict[str, BackgroundRun] = {}

    @property
    def _store(self) -> Store:
        return self._context.storage.store

    @property
    def ids(self) -> tuple[str, ...]:
        """Those that run, or whose end could not be kept."""
        return tuple(self._runs)

    def get(self, response_id: str) -> BackgroundRun | None:
        """The one that runs, or whose end could not be kept."""
        return self._runs.get(response_id)

    def forget(self, response_id: str) -> None:
        """It was deleted."""
        self._runs.pop(response_id, None)

    async def start(self, run: ResponseRun, log: LoggedRequest) -> ResponseObject:
        """Put it into the store, then let it run; the response as it waits.

        Raises StoreError, and then it is closed.
        """
        background = BackgroundRun(run, self._store)
        snapshot = background.snapshot()
        try:
            queued = run.stream.queue()
            await self._store.put(run.keeper.to_kept(), to_kept_events(queued))
        except BaseException:
            run.answer.close(log)
            raise
        counted = ExitStack()
        counted.enter_context(self._context.counted())
        self._runs[run.id] = background
        background.task = asyncio.get_running_loop().create_task(
            self._work(background, counted, log.in_background())
        )
        return snapshot

    async def _work(
        self, background: BackgroundRun, counted: ExitStack, log: LoggedRequest
    ) -> None:
        with counted, log:
            try:
                await background.work(log)
            finally:
                background.close(log)
                if not background.unkept:
                    self.forget(background.id)
                background.publish()

    def follow(self, response_id: str, after: int) -> Follower:
        """One who reads the events behind the number ``after``."""
        return Follower(self, self._store, response_id, after)


class Follower:
    """Reads a background response's events behind the number ``after``, as they come."""

    def __init__(self, runs: BackgroundRuns, store: Store, response_id: str, after: int) -> None:
        self._runs = runs
        self._store = store
        self._response_id = response_id
        self._after = after

    async def batches(self) -> AsyncGenerator[Sequence[ResponseEvent], None]:
        """The events, until the response ends.

        Raises NotFound, or InvalidRequest for events that were kept no longer.
        """
        while True:
            run = self._runs.get(self._response_id)
            news = None if run is None else run.news
            page = await self._store.read_events(self._response_id, self._after)
            if page.dropped:
                raise invalid("stream", "the events of this response are kept no longer")
            if page.events:
                self._after = page.events[-1].sequence
                yield read_jsons_of_events(page.events)
            elif run is not None and run.unkept:
                yield [event for event in run.unkept if event["sequence_number"] > self._after]
                return
            elif news is None or page.status.ended:
                return
            else:
                await news.wait()

    def still_working(self) -> list[ResponseEvent]:
        """How the response stands, once more, under the number of the last event that was read.

        It is kept nowhere: who goes on behind that number later misses nothing, and nothing else
        has that number for who reads all again.
        """
        run = self._runs.get(self._response_id)
        if run is None or self._after < 0:
            return []
        response = run.snapshot()
        if response["status"] not in (ResponseStatus.QUEUED, ResponseStatus.IN_PROGRESS):
            return []
        kind = f"response.{response['status']}"
        return [{"type": kind, "response": response, "sequence_number": self._after}]


class BackgroundRun:
    """One of them. ``unkept`` are the events of an ending that could not be kept."""

    def __init__(self, run: ResponseRun, store: Store) -> None:
        self.id = run.id
        self.unkept: Sequence[ResponseEvent] = ()
        self.task: asyncio.Task[None] | None = None
        self._run = run
        self._store = store
        self._news = asyncio.Event()
        self._is_cancelled = False

    @property
    def news(self) -> asyncio.Event:
        """Set once something more is in the store than now."""
        return self._news

    def publish(self) -> None:
        """There is something more."""
        old, self._news = self._news, asyncio.Event()
        old.set()

    def snapshot(self) -> ResponseObject:
        """The response as it stands."""
        stream = self._run.stream
        response: ResponseObject = {**stream.response, "output": list(stream.output)}
        if self.unkept:
            response["store"] = False
        return response

    async def cancel(self) -> None:
        """Take it back, and wait until the store knows. One that just ended stays as it is."""
        self._is_cancelled = True
        self._run.answer.cancel()
        assert self.task is not None
        await asyncio.shield(self.task)

    def close(self, log: LoggedRequest) -> None:
        """Cancel the turn if it still runs, and note its counts."""
        self._run.answer.close(log)

    async def work(self, log: LoggedRequest) -> None:
        """Run to the end, however that comes."""
        run = self._run
        failure: Exception | None = None
        try:
            async with aclosing(run.answer.steps(log)) as steps:
                async for events in steps:
                    if not await self._append(events):
                        return
        except GenerationCancelled:
            if self._is_cancelled:
                run.stream.cancel(run.answer.turn.usage)
                await self._keep([], log)
            return
        except Exception as error:  # noqa: BLE001 (whoever asks is told, whatever it is)
            failure = error
        await self._keep(run.answer.end(log, failure), log)

    async def _keep(self, last: list[ResponseEvent], log: LoggedRequest) -> None:
        keeper = self._run.keeper
        try:
            await self._store.update(keeper.to_kept(), to_kept_events(last))
        except (StoreError, RequestError) as error:
            self.unkept = keeper.not_stored(last, error, log)

    async def _append(self, events: Sequence[ResponseEvent]) -> bool:
        is_there = await self._store.append_events(self.id, to_kept_events(events))
        self.publish()
        return is_there
