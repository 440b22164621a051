"""Tools that this server runs, in responses: what is offered and listed, and a response's loop.

How the loop goes is told in ``mlxoss.turns.hosted.answer``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlxoss.api.hosted.calls import RunnableCall
from mlxoss.api.responses.answers import ResponseEvent
from mlxoss.api.responses.hosted.declared import read_mcp
from mlxoss.api.responses.hosted.mcp_lists import listed_servers
from mlxoss.api.responses.hosted.running import ApprovedCall, HostedSetup
from mlxoss.api.responses.hosted.trail import follow_browser, latest_container
from mlxoss.api.responses.items import Item, MessageItem
from mlxoss.api.responses.request import PromptFields, ResponsesRequest
from mlxoss.api.responses.stream import ResponsesStream
from mlxoss.api.responses.tool_table import ToolTable
from mlxoss.ids import new_id
from mlxoss.outcomes import McpFailure, McpServerRef, McpToolList
from mlxoss.turns.context import TurnContext
from mlxoss.turns.hosted.answer import Prelude
from mlxoss.turns.hosted.request_tools import Pages, RequestTools, open_pages, to_offer

if TYPE_CHECKING:
    from mlxoss.hosted.tools import McpServers
    from mlxoss.turns.hosted.runs import ToolRuns

logger = logging.getLogger(__name__)


async def list_servers(
    context: TurnContext, request: PromptFields, items: Sequence[Item]
) -> Mapping[str, McpToolList]:
    """What those of the request's MCP servers offer of which ``items`` do not tell it.

    A server that cannot be asked offers nothing, and its list says why. Raises InvalidRequest.
    """
    runs = context.tools
    if runs is None or runs.tools.mcp is None or request.tool_choice == "none":
        return {}
    known = listed_servers(items)
    wanted = [one for one in read_mcp(request.tools, to_offer(runs)) if one.label not in known]
    asked = (_list_tools(runs.tools.mcp, one.server) for one in wanted)
    lists = await asyncio.gather(*asked)
    return {one.label: listed for one, listed in zip(wanted, lists, strict=True)}


async def _list_tools(servers: McpServers, server: McpServerRef) -> McpToolList:
    try:
        return await servers.list_tools(server)
    except Exception as error:
        logger.error("the tools of '%s' could not be listed", server.label, exc_info=error)
        why = "The server's tools could not be listed."
        return McpToolList(failure=McpFailure("mcp_protocol_error", why))


@dataclass(frozen=True, slots=True)
class ResponseTools:
    """A response's tools: ``running`` runs its calls, ``setup`` is what its stream is told."""

    running: RequestTools
    setup: HostedSetup


def open_tools(
    runs: ToolRuns,
    request: ResponsesRequest,
    tools: ToolTable,
    items: Sequence[Item],
) -> ResponseTools:
    """The tools that ``request`` declares, where ``items`` left them: its container, its pages."""
    declared = tools.hosted
    container_id = ""
    if declared.python is not None:
        latest = declared.python.container_id or latest_container(items)
        container_id = latest or new_id("cntr_")
    trail = follow_browser(items)
    session_id = trail.session or new_id("")
    said = [one.text for one in items if isinstance(one, MessageItem) and one.role == "user"]
    pages = open_pages(runs, declared, Pages(session_id, trail.next_cursor, said))
    return ResponseTools(
        RequestTools(runs, declared, container_id, pages),
        HostedSetup(
            container_id=container_id,
            browser_session=session_id,
            cite=None if pages is None else pages.page,
            has_outputs=request.wants_outputs,
            has_sources=request.wants_sources,
        ),
    )


class ResponsePrelude(Prelude[ResponseEvent]):
    """What MCP servers offer is told first, then what the client has allowed is run."""

    def __init__(
        self,
        stream: ResponsesStream,
        listed: Mapping[str, McpToolList],
        approved: Sequence[ApprovedCall],
    ) -> None:
        self._stream = stream
        self._listed = listed
        self._approved = approved

    def begin(self) -> list[ResponseEvent]:
        """The lists."""
        return [
            event
            for label, listed in self._listed.items()
            for event in self._stream.list_tools(label, listed)
        ]

    def calls(self) -> Iterator[tuple[RunnableCall, list[ResponseEvent]]]:
        """The calls that were allowed."""
        return map(self._stream.begin_approved, self._approved)
