"""Writing a stream's events to one client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, TypeVar

from sanic import HTTPResponse, Request

from mlxoss.api.sse import MEDIA
from mlxoss.server.http.heartbeat import Heartbeat

if TYPE_CHECKING:
    from typing import Self

Batch = TypeVar("Batch")

_HEADERS = {"cache-control": "no-cache", "x-accel-buffering": "no"}
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class EventStream:
    """A streamed answer, as a context: inside it, ``heartbeat_s`` of silence sends a ``beat``.

    Status and headers go out with the first byte, so that a failure before it
    can still be an ordinary answer: see ``has_begun``. What is sent goes out in the order in which
    it was made, if nothing is waited for between making and sending it.
    """

    def __init__(
        self,
        request: Request,
        *,
        heartbeat_s: float,
        beat: Callable[[], bytes],
        media: str = MEDIA,
        headers: Mapping[str, str] = _NO_HEADERS,
    ) -> None:
        self._request = request
        self._make_beat = beat
        self._media = media
        self._headers = {**_HEADERS, **headers}
        self._response: HTTPResponse | None = None
        self._writing = asyncio.Lock()
        self._heart = Heartbeat(heartbeat_s, self._beat)

    @property
    def has_begun(self) -> bool:
        """Whether a byte was sent, and with it status 200."""
        return self._response is not None

    async def send(self, data: bytes) -> None:
        """Send whole events. Waits while the client is slow to read."""
        async with self._writing:
            if self._response is None:
                self._response = await self._request.respond(
                    headers=dict(self._headers), content_type=self._media
                )
                assert self._response is not None
            await self._response.send(data)
            self._heart.note()

    async def send_batches(
        self, batches: AsyncGenerator[Batch], encode: Callable[[Batch], bytes]
    ) -> None:
        """Send each batch in one write, to the last."""
        async with aclosing(batches):
            async for batch in batches:
                await self.send(encode(batch))

    async def __aenter__(self) -> Self:
        await self._heart.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._heart.__aexit__(kind, error, traceback)

    async def _beat(self) -> None:
        await self.send(self._make_beat())
