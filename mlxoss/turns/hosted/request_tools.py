"""The tools of this server as one request has them."""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlxoss.api.hosted.calls import RunnableCall
from mlxoss.api.hosted.declared import HostedDeclared
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
