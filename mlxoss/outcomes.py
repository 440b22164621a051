"""What tools that this server runs answer, and what MCP servers offer: values that cross floors.

Each outcome has a ``text``, which the model reads as the tool's message, and what the client is
shown of it. Nothing here raises: a call that went wrong is an outcome too, so that the model can go
on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class ToolImage:
    """An image that code made, such as a plot."""

    mime_type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class PythonOutcome:
    """A cell was run. ``logs`` is what it printed and its last expression, cut to a bound.

    ``is_failed`` if the worker did not live to the end (time, memory, a kill): its state is lost.
    Code that raises did not fail: its traceback is in ``logs``.
    """

    text: str
    logs: str
    images: tuple[ToolImage, ...] = ()
    is_failed: bool = False


@dataclass(frozen=True, slots=True)
class WebSearch:
    """A search; ``sources`` are the addresses of its hits, in order."""

    query: str
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OpenedPage:
    """A page was opened, or scrolled; ``url`` is empty where none is known (a bad link's id)."""

    url: str


@dataclass(frozen=True, slots=True)
class FoundInPage:
    """A text was looked for in a page."""

    pattern: str
    url: str


BrowserAction = WebSearch | OpenedPage | FoundInPage


@dataclass(frozen=True, slots=True)
class ShownPage:
    """A page as the model cites it: by its ``cursor``. ``url`` is empty for a page of hits."""

    cursor: int
    url: str
    title: str


@dataclass(frozen=True, slots=True)
class BrowserOutcome:
    """A call of the browser. ``page`` is what it pushed on the pages, if it did."""

    text: str
    action: BrowserAction
    page: ShownPage | None = None
    is_failed: bool = False


@dataclass(frozen=True, slots=True)
class McpFailure:
    """Why a call or a listing failed, without tokens or headers. ``kind`` is the API's type."""

    kind: Literal["mcp_protocol_error", "mcp_tool_execution_error", "http_error"]
    message: str
    code: int | None = None


@dataclass(frozen=True, slots=True)
class McpOutcome:
    """A call of an MCP server's tool; ``output`` is its text, cut to a bound."""

    text: str
    output: str | None = None
    failure: McpFailure | None = None


@dataclass(frozen=True, slots=True)
class McpTool:
    """A tool that an MCP server offers, checked and cut to bounds. ``name`` is the server's own."""

    name: str
    input_schema: Mapping[str, Any]
    description: str | None = None
    is_read_only: bool = False


@dataclass(frozen=True, slots=True)
class McpToolList:
    """What a server offers, or why it offers nothing. ``left_out`` are names that were dropped."""

    tools: tuple[McpTool, ...] = ()
    failure: McpFailure | None = None
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class McpServerRef:
    """A server as a request means it: one of the configuration by its label, or by an address.

    ``headers`` hold secrets: they are told to the server and to nobody else.
    """

    label: str
    url: str | None = None
    headers: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        return f"McpServerRef({self.label!r})"


ToolOutcome = PythonOutcome | BrowserOutcome | McpOutcome
