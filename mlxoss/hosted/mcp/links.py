"""The processes that speak to MCP servers: one for each, started when it is needed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from mlxoss.hosted.mcp.limits import McpLimits
from mlxoss.hosted.mcp.link import Answer, LinkFailed, McpLink
from mlxoss.hosted.mcp.server import McpServer
from mlxoss.outcomes import McpFailure

Operation = Callable[[McpLink], Awaitable[Answer]]


class Links:
    """Keeps at most ``limits.links``, each until nobody has used it for ``limits.idle_s``."""

    def __init__(self, limits: McpLimits) -> None:
        self._limits = limits
        self._links: dict[McpServer, McpLink] = {}
        self._timers: dict[McpLink, asyncio.TimerHandle] = {}
        self._starting = asyncio.Lock()
        self._ending: set[asyncio.Task[None]] = set()
        self._is_closed = False

    async def run(self, server: McpServer, operation: Operation) -> Answer:
        """What ``operation`` comes to on the server's link; on a new one, where the server had
        forgotten the old one. Raises ``LinkFailed``."""
        is_new = server not in self._links
        try:
            return await self._run_once(server, operation)
        except LinkFailed as error:
            if is_new or not error.is_stale:
                raise
            return await self._run_once(server, operation)

    async def close(self) -> None:
        """End them all."""
        self._is_closed = True
        for server in list(self._links):
            self._drop(server)
        if self._ending:
            await asyncio.wait(self._ending)

    async def _run_once(self, server: McpServer, operation: Operation) -> Answer:
        link = await self._find(server)
        if timer := self._timers.pop(link, None):
            timer.cancel()
        try:
            return await operation(link)
        finally:
            self._let_rest(server, link)

    def _let_rest(self, server: McpServer, link: McpLink) -> None:
        """It may end once it is not used for long; at once, where it is no use any more."""
        if link.is_over and not link.running:
            if self._links.get(server) is link:
                del self._links[server]
            self._end(link)
        elif not link.running and self._links.get(server) is link:
            later = asyncio.get_running_loop().call_later
            self._timers[link] = later(self._limits.idle_s, self._drop, server)

    async def _find(self, server: McpServer) -> McpLink:
        async with self._starting:
            link = self._links.pop(server, None)
            if link is not None and not link.is_over:
                self._links[server] = link  # the last one now
                return link
            if self._is_closed:
                raise LinkFailed(_failed("This server is stopping."))
            self._make_room(server)
            link = self._links[server] = await McpLink.start(server, self._limits)
            return link

    def _make_room(self, server: McpServer) -> None:
        """For a link to ``server``: whoever was used longest ago goes, if nobody uses it."""
        self._links = {one: link for one, link in self._links.items() if not link.is_over}
        if len(self._links) < self._limits.links:
            return
        idle = next((one for one, link in self._links.items() if not link.running), None)
        if idle is None:
            raise LinkFailed(_failed(f"{self._limits.links} other servers are in use."))
        self._drop(idle)

    def _drop(self, server: McpServer) -> None:
        link = self._links.pop(server, None)
        if link is not None:
            self._end(link)

    def _end(self, link: McpLink) -> None:
        if timer := self._timers.pop(link, None):
            timer.cancel()
        task = link.end()
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


def _failed(message: str) -> McpFailure:
    return McpFailure("mcp_protocol_error", message)
