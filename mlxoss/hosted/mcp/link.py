"""The process that speaks to one MCP server, as this server sees it. The event loop's thread.

Every wait has an end here, whatever that process or the MCP server does. Who gives a call up, by
cancelling it or after its time, ends the process: nobody can tell what a server that does not
answer still does. Other calls in it are waited for first.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from mlxoss.hosted.mcp.frames import BadFrame, pack_frame, read_frame
from mlxoss.hosted.mcp.limits import McpLimits
from mlxoss.hosted.mcp.server import McpServer, to_message
from mlxoss.outcomes import McpFailure

logger = logging.getLogger(__name__)

MOST_ANSWER_BYTES = 32 << 20
_WORDS = (sys.executable, "-P", "-m", "mlxoss.hosted.mcp.child")
_GRACE_S = 0.6
_TERM_S = 0.2

Answer = Mapping[str, Any]


class LinkFailed(Exception):
    """An operation failed. ``is_stale``: the server had forgotten this connection, and did
    nothing."""

    def __init__(self, failure: McpFailure, *, is_stale: bool = False) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.is_stale = is_stale


class McpLink:
    """One process and its connection; made by ``McpLink.start``, and no use once ``is_over``."""

    def __init__(
        self, server: McpServer, limits: McpLimits, process: asyncio.subprocess.Process
    ) -> None:
        self.label = server.label
        self.running = 0
        self.last_words = ""
        self._limits = limits
        self._process = process
        self._group = process.pid
        self._is_retired = False
        self._number = 0
        loop = asyncio.get_running_loop()
        self._connected: asyncio.Future[Answer] = loop.create_future()
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._reading = loop.create_task(self._read())
        self._ending: asyncio.Task[None] | None = None

    @classmethod
    async def start(cls, server: McpServer, limits: McpLimits) -> McpLink:
        """Start the process, which begins to connect. Raises ``LinkFailed``."""
        pipe = asyncio.subprocess.PIPE
        none = asyncio.subprocess.DEVNULL
        try:
            process = await asyncio.create_subprocess_exec(
                *_WORDS, stdin=pipe, stdout=pipe, stderr=none, start_new_session=True
            )
        except OSError as error:
            logger.warning("no process could be started for an MCP server: %s", error)
            raise LinkFailed(_failed("No process could be started for the server.")) from None
        link = cls(server, limits, process)
        link._send({"server": to_message(server), "limits": asdict(limits)})
        return link

    @property
    def is_over(self) -> bool:
        """Whether nothing may be asked for here any more."""
        return self._is_retired or self._reading.done()

    async def connect(self) -> Answer:
        """Wait for the connection: what the server says it is. Raises ``LinkFailed``."""
        return await self._within(
            self._limits.connect_s,
            asyncio.shield(self._connected),
            "did not let itself be connected to",
        )

    async def list_tools(self) -> Answer:
        """The answer of ``Operations.list_tools``. Raises ``LinkFailed``."""
        return await self._ask({"do": "list"}, self._limits.list_s)

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> Answer:
        """The answer of ``Operations.call``. Raises ``LinkFailed``."""
        return await self._ask(
            {"do": "call", "tool": tool, "arguments": arguments}, self._limits.call_s
        )

    def end(self, *, at_once: bool = False) -> asyncio.Task[None]:
        """Have the process end, within a second; ``at_once``: without taking leave."""
        self._is_retired = True
        if self._ending is None:
            self._ending = asyncio.create_task(self._end(0.0 if at_once else _GRACE_S))
        return self._ending

    async def _ask(self, operation: Answer, limit_s: float) -> Answer:
        self.running += 1
        try:
            await self.connect()
            self._number += 1
            return await self._answer(self._number, operation, limit_s)
        except asyncio.CancelledError:
            self._is_retired = True
            raise
        finally:
            self.running -= 1
            if self._is_retired and not self.running:
                self.end(at_once=True)

    async def _answer(self, number: int, operation: Answer, limit_s: float) -> Answer:
        if self._reading.done():
            raise LinkFailed(_failed("The server's connection ended."))
        waiting = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            self._send({"id": number, **operation})
            answer = await self._within(limit_s, waiting, "did not answer")
        except (asyncio.CancelledError, LinkFailed):
            self._send({"id": number, "do": "cancel"})
            raise
        finally:
            del self._waiting[number]
        if failure := answer.get("failure"):
            is_stale = bool(answer.get("is_stale"))
            self._is_retired = self._is_retired or is_stale
            raise LinkFailed(_to_failure(failure), is_stale=is_stale)
        return answer

    async def _within(self, limit_s: float, waiting: Awaitable[Answer], what: str) -> Answer:
        try:
            async with asyncio.timeout(limit_s):
                return await waiting
        except TimeoutError:
            self._is_retired = True
            raise LinkFailed(_failed(f"The server {what} within {limit_s:g} s.")) from None

    def _send(self, message: Answer) -> None:
        assert self._process.stdin
        if not self._process.stdin.is_closing():
            self._process.stdin.write(pack_frame(message))

    async def _read(self) -> None:
        """Hand out what comes, until nothing does; then fail whoever still waits."""
        failure = _failed("The server's connection ended.")
        assert self._process.stdout
        try:
            while (frame := await read_frame(self._process.stdout, MOST_ANSWER_BYTES)) is not None:
                if ended := frame.get("ended"):
                    failure = _to_failure(ended)
                    self.last_words = frame.get("stderr", "")
                    break
                self._hand_out(frame)
        except BadFrame as error:
            logger.warning("the process of the MCP server %s sent %s", self.label, error)
        finally:
            self._is_retired = True
            for waiting in (self._connected, *self._waiting.values()):
                if not waiting.done():
                    waiting.set_exception(LinkFailed(failure))
            self._connected.exception()  # nobody need have waited for it
            self.end(at_once=True)

    def _hand_out(self, frame: Answer) -> None:
        if connected := frame.get("connected"):
            if not self._connected.done():
                self._connected.set_result(connected)
            return
        waiting = self._waiting.get(frame.get("id", 0))
        if waiting is not None and not waiting.done():
            waiting.set_result(frame)

    async def _end(self, grace_s: float) -> None:
        """Let it take leave, ask it to end, kill it and all that it started."""
        assert self._process.stdin
        self._process.stdin.close()
        for limit_s, stop in ((grace_s, signal.SIGTERM), (_TERM_S, signal.SIGKILL)):
            with suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), limit_s)
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._group, stop)
        await self._process.wait()
        await asyncio.wait({self._reading})


def _to_failure(message: Answer) -> McpFailure:
    return McpFailure(message["kind"], message["message"], message.get("code"))


def _failed(message: str) -> McpFailure:
    return McpFailure("mcp_protocol_error", message)
