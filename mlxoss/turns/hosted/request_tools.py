"""The tools of this server as one request has them."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlxoss.api.hosted.calls import RunnableCall
from mlxoss.api.hosted.declared import HostedDeclared, HostedOffer
from mlxoss.outcomes import (
    BrowserAction,
    BrowserOutcome,
    FoundInPage,
    McpFailure,
    McpOutcome,
    OpenedPage,
    PythonOutcome,
    ToolOutcome,
    WebSearch,
)
from mlxoss.turns.hosted.runs import ToolRun, ToolRuns
from mlxoss.turns.limits.time_limit import TimeLimit

if TYPE_CHECKING:
    from mlxoss.hosted.tools import BrowserSession

_BROKEN = "The tool failed: an error inside of the server, which its log tells of."


def to_offer(runs: ToolRuns | None) -> HostedOffer:
    """What requests may declare."""
    if runs is None:
        return HostedOffer()
    tools = runs.tools
    return HostedOffer(
        python=tools.python is not None,
        browser=tools.browser is not None,
        mcp_labels=() if tools.mcp is None else tools.mcp.labels,
        allows_addresses=tools.mcp is not None and tools.mcp.allows_addresses,
    )


@dataclass(frozen=True, slots=True)
class Pages:
    """A conversation's pages, of which the next is ``next_cursor``, and what its users ``said``."""

    session_id: str
    next_cursor: int
    said: Sequence[str]


def open_pages(runs: ToolRuns, declared: HostedDeclared, pages: Pages) -> BrowserSession | None:
    """The browser, if it is declared, where the conversation left it."""
    browser = runs.tools.browser
    if declared.browser is None or browser is None:
        return None
    return browser.session(
        pages.session_id,
        next_cursor=pages.next_cursor,
        said=pages.said,
        allowed_domains=declared.browser.allowed_domains,
    )


@dataclass(frozen=True, slots=True)
class RequestTools:
    """What a request's calls are run by: its container, its pages and its servers."""

    runs: ToolRuns
    declared: HostedDeclared
    container_id: str = ""
    browser: BrowserSession | None = None

    def begin(self, call: RunnableCall, limit: TimeLimit) -> ToolRun:
        """Start ``call``, which ends at ``limit``."""
        name = call.recipient if call.kind != "mcp" else "mcp"
        return self.runs.begin(name, self._start(call), limit)

    def _start(self, call: RunnableCall) -> Coroutine[Any, Any, ToolOutcome]:
        tools = self.runs.tools
        match call.kind:
            case "python" if tools.python is not None:
                return tools.python.run(self.container_id, call.text)
            case "browser" if self.browser is not None:
                return self.browser.call(call.tool, call.text)
            case "mcp" if tools.mcp is not None:
                server = self.declared.server(call.server_label)
                if server is not None:
                    return tools.mcp.call(server.server, call.tool, call.text)
        return _missing(call)


async def _missing(call: RunnableCall) -> ToolOutcome:
    """A call of what the request does not have: of a server that it names no more."""
    if call.kind == "mcp":
        why = f"The request has no MCP server '{call.server_label}'."
        return McpOutcome(why, failure=McpFailure("mcp_protocol_error", why))
    return to_broken(call)


def to_broken(call: RunnableCall) -> ToolOutcome:
    """The outcome of a call whose tool raised something."""
    match call.kind:
        case "python":
            return PythonOutcome(_BROKEN, "", is_failed=True)
        case "browser":
            return BrowserOutcome(_BROKEN, _action(call.tool), is_failed=True)
        case "mcp":
            return McpOutcome(_BROKEN, failure=McpFailure("mcp_protocol_error", _BROKEN))


def _action(tool: str) -> BrowserAction:
    match tool:
        case "open":
            return OpenedPage("")
        case "find":
            return FoundInPage("", "")
        case _:
            return WebSearch("")
