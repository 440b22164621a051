"""Background responses: they run on without their client, and can be followed and cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack
from typing import Any

from mlxoss.api.fields import invalid
from mlxoss.api.responses_writers import StreamEvent
from mlxoss.errors import GenerationCancelled, RequestError, StoreError
from mlxoss.server.request_log import RequestLog
from mlxoss.server.responses_kept import read_jsons_of_events, to_kept_events
from mlxoss.server.responses_run import ResponseRun
from mlxoss.server.services import Services


class BackgroundRun:
    """A response on its own. Events are in the store before anybody is told of them.

    One whose end the store did not take stays among ``services.background`` with its
    last events (``unkept``), so that whoever asks is told as long as the process lives.
    """

    def __init__(self, run: ResponseRun) -> None:
        self._run = run
        self._store = run.services.state.store
        self._news = asyncio.Event()
        self._is_cancelled = False
        self._unkept: list[StreamEvent] = []
        self._task: asyncio.Task[None] | None = None

    @property
    def news(self) -> asyncio.Event:
        """Set once something more is in the store than now."""
        return self._news

    def snapshot(self) -> dict[str, Any]:
        """The response as it stands."""
        stream = self._run.stream
        marks = {"store": False} if self._unkept else {}
        return {**stream.response, "output": list(stream.output), **marks}

    @property
    def unkept(self) -> Sequence[StreamEvent]:
        """The events of an ending that could not be kept."""
        return self._unkept

    async def start(self) -> None:
        """Put it into the store, then let it run. Raises StoreError, and then it is closed."""
        run, running = self._run, self._run.services.background
        try:
            queued = run.stream.queue()
            await self._store.put(run.to_kept(), to_kept_events(queued))
        except BaseException:
            run.close()
            raise
        counted = ExitStack()
        counted.enter_context(run.services.turn_in_progress())
        running[run.id] = self
        self._task = asyncio.get_running_loop().create_task(self._work(counted))

    async def cancel(self) -> None:
        """Take it back, and wait until the store knows. One that just ended stays as it is."""
        self._is_cancelled = True
        self._run.turn.close()
        assert self._task is not None
        await asyncio.shield(self._task)

    async def _work(self, counted: ExitStack) -> None:
        run = self._run
        log = RequestLog(run.http, run.services, is_background=True)
        run.log = log
        with counted, log:
            try:
                await self._make()
            finally:
                run.close()
                if not self._unkept:
                    run.services.background.pop(run.id, None)
                self._publish()

    async def _make(self) -> None:
        run = self._run
        try:
            async for events in run.progress():
                if not await self._append(events):
                    return
            last = run.end()
        except GenerationCancelled:
            if self._is_cancelled:
                run.stream.cancel(run.turn.usage)
                await self._keep([])
            return
        except StoreError as error:
            run.failure = error
            last = run.end()
        await self._keep(last)

    async def _keep(self, last: list[StreamEvent]) -> None:
        run = self._run
        try:
            await self._store.update(run.to_kept(), to_kept_events(last))
        except (StoreError, RequestError) as error:
            self._unkept = run.not_stored(last, error)

    async def _append(self, events: Sequence[StreamEvent]) -> bool:
        is_there = await self._store.append_events(self._run.id, to_kept_events(events))
        self._publish()
        return is_there

    def _publish(self) -> None:
        old, self._news = self._news, asyncio.Event()
        old.set()


async def follow(
    services: Services, response_id: str, after: int
) -> AsyncIterator[Sequence[dict[str, Any]]]:
    """The events behind the number ``after``, as they come, until the response ends.

    Raises NotFound, or InvalidRequest for events that were kept no longer.
    """
    store = services.state.store
    while True:
        run = services.background.get(response_id)
        news = None if run is None else run.news
        page = await store.read_events(response_id, after)
        if page.dropped:
            raise invalid("stream", "the events of this response are kept no longer")
        if page.events:
            after = page.events[-1].sequence
            yield read_jsons_of_events(page.events)
        elif run is not None and run.unkept:
            yield [event for event in run.unkept if event["sequence_number"] > after]
            return
        elif news is None or page.status.ended:
            return
        else:
            await news.wait()
