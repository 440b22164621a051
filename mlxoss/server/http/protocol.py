"""Bounds on connections: how many, and how long each may take to send and to read."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from typing import Any

from sanic.exceptions import PayloadTooLarge, RequestCancelled
from sanic.http import Stage
from sanic.models.server_types import ConnInfo
from sanic.server.protocols.websocket_protocol import WebSocketProtocol

from mlxoss.api.errors import HttpError, HttpRefusal
from mlxoss.server.http.http1 import BoundedHttp

logger = logging.getLogger(__name__)

HEAD_S = 20
"""For a whole head, from its first byte on; looked at every half of that, so at most 30 s."""

IDLE_S = 75
"""For a connection on which nothing is asked."""

BODY_S = 120
"""For a whole body, from the end of its head on."""

SEND_S = 60
"""For a client to take what waits for it, some 50 KiB: its socket's buffers are full by then,
so it has stopped, or reads slower than the model writes by far."""

_TLS_HANDSHAKE = 0x16
"""The first byte of whoever begins with TLS (RFC 8446 section 5.1), and of no request."""

_FULL = HttpError(
    503,
    "The server has too many open connections; try again, or raise max_connections.",
    type="service_unavailable_error",
    code="too_many_connections",
)


class BoundedProtocol(WebSocketProtocol):
    """A connection to the server. Belongs to the event loop's thread.

    Above ``max_connections`` the one that has been idle longest makes room. Where all are
    busy the new one is told so (503) and closed. The app's listeners share their connections.

    What a client does not read waits in 64 KiB and the write that went over; the next write
    waits outside, for SEND_S at most.
    """

    __slots__ = ("_is_new",)
    HTTP_CLASS = BoundedHttp

    def __init__(self, *, app: Any, connections: object = None, **options: Any) -> None:
        super().__init__(app=app, connections=app.ctx.connections, **options)
        self._is_new = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or refuse it."""
        most: int = self.app.ctx.services.config.max_connections
        if len(self.connections) >= most and not self._make_room():
            self._refuse(transport)
        else:
            super().connection_made(transport)  # type: ignore[no-untyped-call]

    def data_received(self, data: bytes) -> None:
        """Take bytes. Those of a head do not begin its time anew."""
        if self._is_new and self._is_tls(data):
            return
        self._is_new = False
        is_head = self._stage is Stage.REQUEST
        begun_at = self._time
        super().data_received(data)  # type: ignore[no-untyped-call]
        if is_head:
            self._time = begun_at
        if self.websocket is not None and self.is_stuck and self.transport is not None:
            # Else answers to pings would pile up for a client that does not read them.
            self.transport.pause_reading()

    def resume_writing(self) -> None:
        """The client has read on: let writes go on, and read its frames again."""
        super().resume_writing()  # type: ignore[no-untyped-call]
        socket, transport = self.websocket, self.transport
        if socket is not None and socket.pause_frame_fut is None and transport is not None:
            transport.resume_reading()

    async def receive_more(self) -> None:
        """Wait for more bytes. Raises HttpRefusal (408) for a body that took too long."""
        http = self.http
        if http is None or http.request is None or http.perft0 is None:
            await super().receive_more()  # type: ignore[no-untyped-call]
            return
        left_s: float = http.perft0 + self.app.config.BODY_TIMEOUT - time.perf_counter()
        try:
            async with asyncio.timeout(left_s):
                await super().receive_more()  # type: ignore[no-untyped-call]
        except TimeoutError:
            http.request_max_size = 0
            if http.stage is not Stage.HANDLER:  # answered already: close
                raise PayloadTooLarge("The rest of the body did not arrive.") from None
            message = "The body of the request did not arrive in time."
            raise HttpRefusal(HttpError(408, message, code="request_timeout")) from None

    async def send(self, data: bytes) -> None:
        """Write ``data`` once the client has read enough; one that does not is cut off."""
        if self.is_stuck:
            await self._wait_for_reader()
        await super().send(data)  # type: ignore[no-untyped-call]

    async def _wait_for_reader(self) -> None:
        most_s = self.app.config.SEND_TIMEOUT
        try:
            async with asyncio.timeout(most_s):
                await self._can_write.wait()
        except TimeoutError:
            logger.warning("a client is cut off: it has not read its answer for %d s", most_s)
            if self.transport is not None:
                self.transport.abort()
            raise RequestCancelled from None

    def _is_tls(self, data: bytes) -> bool:
        """Whether TLS is spoken where it is not: then the connection is closed."""
        transport = self.transport
        if data[0] != _TLS_HANDSHAKE or transport is None or transport.get_extra_info("sslcontext"):
            return False
        logger.warning(
            "a client spoke TLS to a port without it and is cut off: its URL has to begin with "
            "http://, or the settings tls_cert and tls_key be given"
        )
        self.close()
        return True

    def _make_room(self) -> bool:
        idle = [each for each in self.connections if each.is_idle]
        if not idle:
            return False
        oldest = min(idle, key=lambda each: each._time)
        oldest.close()
        self.connections.discard(oldest)
        return True

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being asked or answered."""
        return self._stage is Stage.IDLE

    @property
    def is_stuck(self) -> bool:
        """Whether the client has not read what was sent."""
        return not self._can_write.is_set()

    @property
    def _stage(self) -> Stage | None:
        """Of the request in progress; ``None`` for a WebSocket, or before the first."""
        http = None if self.websocket is not None else self.http
        return None if http is None else http.stage

    def _refuse(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self.conn_info = ConnInfo(transport, unix=self._unix)  # type: ignore[arg-type]
        self.recv_buffer = bytearray()
        body = json.dumps(_FULL.body).encode()
        head = (
            f"HTTP/1.1 {_FULL.status} Service Unavailable\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nRetry-After: 1\r\nConnection: close\r\n\r\n"
        )
        transport.write(head.encode() + body)
        transport.close()
