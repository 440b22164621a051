"""The connection to the server, by the SDK, whose messages pass the sieve."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import anyio
import httpx2
from anyio.streams.memory import MemoryObjectSendStream
from mcp import Client
from mcp.client import Transport
from mcp.client._transport import ReadStream
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.message import SessionMessage
from mcp_types import Implementation, JSONRPCResponse

from mlxoss import __version__
from mlxoss.hosted.mcp.child.command import Incoming, Streams, Tail, run_command
from mlxoss.hosted.mcp.child.failures import Ending
from mlxoss.hosted.mcp.child.http import make_client
from mlxoss.hosted.mcp.child.sieve import Sieve
from mlxoss.hosted.mcp.limits import McpLimits
from mlxoss.hosted.mcp.server import AddressServer, CommandServer, McpServer


class Connection:
    """What is known of the connection. ``is_over`` is set when nothing can come any more."""

    def __init__(self, server: McpServer, limits: McpLimits) -> None:
        self.limits = limits
        self.sieve = Sieve(limits)
        self.tail = Tail()
        self.ending = Ending()
        self.is_over = asyncio.Event()
        self._server = server

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Client]:
        """A client that is ready. Raises whatever the SDK does, in groups too."""
        info = Implementation(name="mlxoss", version=__version__)
        async with AsyncExitStack() as stack:
            transport = await self._transport(stack)
            yield await stack.enter_async_context(
                Client(self._sieved(transport), client_info=info, cache=None)
            )

    async def _transport(self, stack: AsyncExitStack) -> Transport:
        server, limits = self._server, self.limits
        if isinstance(server, CommandServer):
            return run_command(server, limits, self.tail, self.ending)
        if server.kind == "sse":
            return sse_client(server.url, httpx_client_factory=_Clients(server, limits))
        client = await stack.enter_async_context(make_client(server, limits))
        return streamable_http_client(
            server.url, http_client=client, max_sse_event_size=limits.message_bytes
        )

    @asynccontextmanager
    async def _sieved(self, transport: Transport) -> AsyncIterator[Streams]:
        inside, incoming = anyio.create_memory_object_stream[Incoming](0)
        async with transport as (read, write), anyio.create_task_group() as tasks:
            tasks.start_soon(self._pass_on, read, inside)
            try:
                yield incoming, write
            finally:
                incoming.close()
                tasks.cancel_scope.cancel()

    async def _pass_on(
        self, read: ReadStream[Incoming], inside: MemoryObjectSendStream[Incoming]
    ) -> None:
        try:
            async with inside:
                async for item in read:
                    await inside.send(self._sift(item))
        finally:
            self.is_over.set()

    def _sift(self, item: Incoming) -> Incoming:
        if not isinstance(item, SessionMessage) or not isinstance(item.message, JSONRPCResponse):
            return item
        result = item.message.result
        if not isinstance(result.get("tools"), list):
            return item
        message = item.message.model_copy(update={"result": self.sieve.page(result)})
        return SessionMessage(message, metadata=item.metadata)


class _Clients:
    """What the SDK makes its HTTP clients with; times and headers are ours."""

    def __init__(self, server: AddressServer, limits: McpLimits) -> None:
        self._server = server
        self._limits = limits

    def __call__(
        self,
        headers: dict[str, str] | None = None,
        timeout: httpx2.Timeout | None = None,
        auth: httpx2.Auth | None = None,
    ) -> httpx2.AsyncClient:
        return make_client(self._server, self._limits)
