"""Writing server-sent events to one client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, TypeVar

from sanic import HTTPResponse, Request

from mlxoss.api.sse import COMMENT

if TYPE_CHECKING:
    from typing import Self

Batch = TypeVar("Batch")

_HEADERS = {"cache-control": "no-cache", "x-accel-buffering": "no"}
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class EventStream:
    """An SSE answer, as a context: inside it, ``heartbeat_s`` of silence sends ``beat``.

    Status and headers go out with the first byte, so that a failure before it
    can still be an ordinary answer: see ``has_begun``.
    """

    def __init__(
        self,
        request: Request,
        *,
        heartbeat_s: float,
        beat: bytes = COMMENT,
        headers: Mapping[str, str] = _NO_HEADERS,
    ) -> None:
        self._request = request
        self._beat_bytes = beat
        self._heartbeat_s = heartbeat_s
        self._headers = {**_HEADERS, **headers}
        self._loop = asyncio.get_running_loop()
        self._response: HTTPResponse | None = None
        self._sent_at = self._loop.time()
        self._writing = asyncio.Lock()
        self._heart: asyncio.Task[None] | None = None

    @property
    def has_begun(self) -> bool:
        """Whether a byte was sent, and with it status 200."""
        return self._response is not None

    async def send(self, data: bytes) -> None:
        """Send whole events. Waits while the client is slow to read."""
        async with self._writing:
            if self._response is None:
                self._response = await self._request.respond(
                    headers=dict(self._headers), content_type="text/event-stream; charset=utf-8"
                )
                assert self._response is not None
            await self._response.send(data)
            self._sent_at = self._loop.time()

    async def send_batches(
        self, batches: AsyncGenerator[Batch], encode: Callable[[Batch], bytes]
    ) -> None:
        """Send each batch in one write, to the last."""
        async with aclosing(batches):
            async for batch in batches:
                await self.send(encode(batch))

    async def __aenter__(self) -> Self:
        self._heart = self._loop.create_task(self._beat())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._heart is not None
        self._heart.cancel()
        await asyncio.gather(self._heart, return_exceptions=True)

    async def _beat(self) -> None:
        while True:
            silent_s = self._loop.time() - self._sent_at
            if silent_s >= self._heartbeat_s:
                await self.send(self._beat_bytes)
            else:
                await asyncio.sleep(self._heartbeat_s - silent_s)
