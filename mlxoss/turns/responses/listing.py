"""A response that asks MCP servers what they offer before it answers.

Nothing of that is done in silence or without an end. The response has begun, so that a stream has
its heartbeats and a background response its id; and the request holds its place and its time, as
it does while a tool runs (``mlxoss.turns.hosted.answer``).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlxoss.api.responses.answers import ResponseEvent
from mlxoss.errors import MlxossError
from mlxoss.harmony.encoding import Encoding
from mlxoss.outcomes import McpFailure, McpServerRef, McpToolList
from mlxoss.turns.answer import make_cancelled
from mlxoss.turns.context import TurnContext
from mlxoss.turns.hosted.runs import ToolRun, ToolRuns
from mlxoss.turns.limits.hold import Hold
from mlxoss.turns.limits.time_limit import TimeLimit
from mlxoss.turns.request_log import LoggedRequest
from mlxoss.turns.responses.parts import AnswerInParts, ResponseAnswer
from mlxoss.turns.responses.run import ResponseKeeper

if TYPE_CHECKING:
    from mlxoss.hosted.tools import McpServers

logger = logging.getLogger(__name__)

TOOL = "mcp_list_tools"
"""What ``GET /mlxoss/requests`` says that runs."""

_FAILED = "The server's tools could not be listed."


class Listing:
    """Asks ``servers`` what they offer, all at once. One that cannot be asked offers nothing, and
    its list says why. The event loop's thread."""

    def __init__(
        self, runs: ToolRuns | None, servers: Sequence[McpServerRef], limit: TimeLimit
    ) -> None:
        self.labels = tuple(server.label for server in servers)
        self._asked = runs
        self._servers = servers
        self._limit = limit
        self._runs: dict[str, ToolRun[McpToolList]] = {}

    async def each(self) -> AsyncGenerator[tuple[str, McpToolList], None]:
        """What each has said, by its label, as it comes. Raises TurnTimedOut, ModelUnavailable or
        what ``end`` was told; nothing of the asking is left then."""
        if self._asked is None or (mcp := self._asked.tools.mcp) is None:
            return
        for one in self._servers:
            self._runs[one.label] = self._asked.begin(None, _list_tools(mcp, one), self._limit)
        waiting = {asyncio.ensure_future(run.wait()): label for label, run in self._runs.items()}
        try:
            while waiting:
                done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in [task for task in waiting if task in done]:
                    yield waiting.pop(task), task.result() or _to_failed()
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    async def all(self) -> Mapping[str, McpToolList]:
        """All of them, in the order of the request. Raises as ``each``."""
        found: dict[str, McpToolList] = {}
        async with aclosing(self.each()) as lists:
            async for label, listed in lists:
                found[label] = listed
        return found

    def end(self, error: MlxossError) -> None:
        """Have ``each`` raise ``error``, where it still waits."""
        for run in self._runs.values():
            run.end(error)


async def _list_tools(servers: McpServers, server: McpServerRef) -> McpToolList:
    try:
        return await servers.list_tools(server)
    except Exception as error:
        logger.error("the tools of '%s' could not be listed", server.label, exc_info=error)
        return _to_failed()


def _to_failed() -> McpToolList:
    return McpToolList(failure=McpFailure("mcp_protocol_error", _FAILED))


GoOn = Callable[[Mapping[str, McpToolList]], Awaitable[ResponseAnswer]]
"""Starts the answer once it is known what the servers of these labels offer."""


@dataclass(frozen=True, slots=True)
class ToList:
    """What is asked, in the place that ``hold`` is, and what comes after it."""

    listing: Listing
    hold: Hold
    go_on: GoOn


class ListingAnswer(AnswerInParts):
    """The lists, and the answer behind them. ``turn`` is one without a model until then."""

    def __init__(
        self, context: TurnContext, encoding: Encoding, keeper: ResponseKeeper, to_list: ToList
    ) -> None:
        super().__init__(context, encoding, keeper, to_list.hold)
        self._lists = keeper.stream
        self._to_list = to_list

    async def steps(self, log: LoggedRequest) -> AsyncGenerator[list[ResponseEvent], None]:
        """See ``TurnAnswer``."""
        log.follow(self.turn)
        listing, stream = self._to_list.listing, self._lists
        events = self._begin()
        for label in listing.labels:
            events += stream.begin_list(label)
        yield events
        found: dict[str, McpToolList] = {}
        if self._is_cancelled:
            raise make_cancelled()
        async with aclosing(listing.each()) as lists:
            async for label, listed in lists:
                found[label] = listed
                yield stream.end_list(label, listed)
        async with aclosing(self._go_on(self._to_list.go_on(found), log)) as steps:
            async for events in steps:
                yield events

    def cancel(self) -> None:
        """See ``TurnAnswer``."""
        super().cancel()
        self._to_list.listing.end(make_cancelled())
