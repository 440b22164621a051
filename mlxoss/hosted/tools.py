"""The tools of one server, as turns use them. The event loop's thread.

Each is ``None`` where it is not enabled, or cannot run here. A call that is cancelled leaves
nothing behind: what it started is gone within a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mlxoss.outcomes import (
    BrowserOutcome,
    McpOutcome,
    McpServerRef,
    McpToolList,
    PythonOutcome,
    ShownPage,
)


class PythonTool(Protocol):
    """Runs cells, each container's one after the other, in a process that keeps their state."""

    async def run(self, container_id: str, code: str) -> PythonOutcome:
        """Run ``code``. A container that is not known, or no more, begins empty."""

    async def close(self) -> None:
        """End every worker."""


class BrowserSession(Protocol):
    """The pages of one chain of responses: each has its number, and numbers go on counting."""

    async def call(self, function: str, arguments: str) -> BrowserOutcome:
        """``function`` is ``search``, ``open`` or ``find``; ``arguments`` are JSON."""

    def page(self, cursor: int) -> ShownPage | None:
        """The page of that number, if it is known."""


class BrowserTool(Protocol):
    """Searches and opens pages."""

    def session(
        self,
        session_id: str,
        *,
        next_cursor: int,
        said: Sequence[str],
        allowed_domains: Sequence[str],
    ) -> BrowserSession:
        """The pages of ``session_id``, which begin at ``next_cursor`` if it is not known any more.

        Addresses in what users ``said`` may be opened, as those in results may. With
        ``allowed_domains`` no others are searched or opened.
        """

    async def close(self) -> None:
        """Close connections."""


class McpServers(Protocol):
    """Servers of the configuration, and those that requests name by address if that is allowed."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Those of the configuration."""

    @property
    def allows_addresses(self) -> bool:
        """Whether a request may name one by its address."""

    async def list_tools(self, server: McpServerRef) -> McpToolList:
        """What it offers, asked anew, unless that failed a moment ago."""

    async def call(self, server: McpServerRef, tool: str, arguments: str) -> McpOutcome:
        """Call ``tool`` with ``arguments``, a JSON object's text."""

    async def close(self) -> None:
        """End the processes."""


@dataclass(frozen=True, slots=True)
class HostedTools:
    """All of them."""

    python: PythonTool | None = None
    browser: BrowserTool | None = None
    mcp: McpServers | None = None

    async def close(self) -> None:
        """Close all."""
        for tool in (self.python, self.browser, self.mcp):
            if tool is not None:
                await tool.close()
