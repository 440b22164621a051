"""Bounds on connections: how many, and how long each may take over a request's head."""

from __future__ import annotations

import asyncio
import json
import resource

from sanic.http import Stage
from sanic.models.server_types import ConnInfo
from sanic.server.protocols.websocket_protocol import WebSocketProtocol

from mlxoss.api.errors import HttpError

HEAD_S = 20
"""For a whole head, from its first byte on; looked at every half of that, so at most 30 s."""

IDLE_S = 75
"""For a connection on which nothing is asked."""

MAX_HEAD_BYTES = 16_384
"""Sanic takes no more."""

_SPARE_FILES = 256
_FULL = HttpError(
    503,
    "The server has too many open connections; try again, or raise max_connections.",
    type="service_unavailable_error",
    code="too_many_connections",
)


class BoundedProtocol(WebSocketProtocol):
    """A connection to the server. Belongs to the event loop's thread.

    Above ``max_connections`` the one that has been idle longest makes room. Where all are
    busy the new one is told so (503) and closed.
    """

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or refuse it."""
        most: int = self.app.ctx.services.config.max_connections
        if len(self.connections) >= most and not self._make_room():
            self._refuse(transport)
        else:
            super().connection_made(transport)  # type: ignore[no-untyped-call]

    def data_received(self, data: bytes) -> None:
        """Take bytes. Those of a head do not begin its time anew."""
        is_head = self._stage is Stage.REQUEST
        begun_at = self._time
        super().data_received(data)  # type: ignore[no-untyped-call]
        if is_head:
            self._time = begun_at

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


def raise_file_limit(max_connections: int) -> None:
    """Let this process open as many files as its connections take, as far as it may.

    launchd gives a process 256 at first, and any number if it asks.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max_connections + _SPARE_FILES
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
