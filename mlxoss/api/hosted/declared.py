"""What this server has of the tools that it runs itself, and what a request declares of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from mlxoss.harmony.builtins import BROWSER, PYTHON
from mlxoss.harmony.conversation import Builtin
from mlxoss.outcomes import McpServerRef, McpTool


@dataclass(frozen=True, slots=True)
class HostedOffer:
    """What is enabled here: ``mcp_labels`` are the servers of the configuration; with
    ``allows_addresses`` a request may name others by their address."""

    python: bool = False
    browser: bool = False
    mcp_labels: tuple[str, ...] = ()
    allows_addresses: bool = False


@dataclass(frozen=True, slots=True)
class DeclaredPython:
    """Code may be run: in the container of that id, or in one that the server chooses."""

    container_id: str | None = None


@dataclass(frozen=True, slots=True)
class DeclaredBrowser:
    """The web may be searched: of ``allowed_domains`` alone, if there are any."""

    allowed_domains: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ToolFilter:
    """Some of an MCP server's tools: those of these ``names``, those that (do not) only read,
    or those that are both."""

    names: frozenset[str] | None = None
    is_read_only: bool | None = None

    def takes(self, tool: McpTool) -> bool:
        """Whether ``tool`` is among them."""
        is_named = self.names is None or tool.name in self.names
        return is_named and self.is_read_only in (None, tool.is_read_only)


@dataclass(frozen=True, slots=True)
class Approvals:
    """Which calls the client is asked about first: all, but for those ``never`` takes and
    ``always`` does not."""

    always: ToolFilter | None = None
    never: ToolFilter | None = None

    def asks_for(self, tool: McpTool) -> bool:
        """Whether a call of ``tool`` waits for the client's word."""
        if self.always is not None and self.always.takes(tool):
            return True
        return self.never is None or not self.never.takes(tool)


@dataclass(frozen=True, slots=True)
class DeclaredMcp:
    """An MCP server of which ``allowed`` tools may be called (``None``: all)."""

    server: McpServerRef
    allowed: ToolFilter | None = None
    approvals: Approvals = field(default_factory=Approvals)
    description: str | None = None

    @property
    def label(self) -> str:
        """What the request calls it."""
        return self.server.label


@dataclass(frozen=True, slots=True)
class HostedDeclared:
    """What a request declares of the tools that this server has."""

    python: DeclaredPython | None = None
    browser: DeclaredBrowser | None = None
    mcp: tuple[DeclaredMcp, ...] = ()

    @property
    def builtins(self) -> tuple[Builtin, ...]:
        """The built-in tools among them, in the order in which the model was shown them."""
        browser = (BROWSER,) if self.browser is not None else ()
        return (*browser, PYTHON) if self.python is not None else browser

    def __bool__(self) -> bool:
        return bool(self.python or self.browser or self.mcp)

    def server(self, label: str) -> DeclaredMcp | None:
        """The MCP server of that label."""
        return next((one for one in self.mcp if one.label == label), None)
