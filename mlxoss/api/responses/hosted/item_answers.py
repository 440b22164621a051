"""Shapes of the items of tools that this server runs.

Source: OpenAI's API reference (responses, output items), and the types of its SDKs.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

SearchStatus = Literal["in_progress", "searching", "completed", "failed", "incomplete"]
CodeStatus = Literal["in_progress", "interpreting", "completed", "failed", "incomplete"]
McpStatus = Literal["in_progress", "calling", "completed", "failed", "incomplete"]


class SearchSource(TypedDict):
    """A hit of a search."""

    type: Literal["url"]
    url: str


class SearchAction(TypedDict):
    """The web was searched. The sources are told if they are included."""

    type: Literal["search"]
    query: str
    queries: list[str]
    sources: NotRequired[list[SearchSource]]


class OpenPageAction(TypedDict):
    """A page was opened; no address is known of one that is not there."""

    type: Literal["open_page"]
    url: str | None


class FindInPageAction(TypedDict):
    """A text was looked for in a page."""

    type: Literal["find_in_page"]
    pattern: str
    url: str


ListedAction = SearchAction | OpenPageAction | FindInPageAction


class ListedWebSearchCall(TypedDict):
    """A call of the browser."""

    id: str
    type: Literal["web_search_call"]
    status: SearchStatus
    action: ListedAction


class CodeLogs(TypedDict):
    """What code printed."""

    type: Literal["logs"]
    logs: str


class CodeImage(TypedDict):
    """An image that code made: a data URL."""

    type: Literal["image"]
    url: str


class ListedCodeCall(TypedDict):
    """A call of Python. Its outputs are told if they are included, else null."""

    id: str
    type: Literal["code_interpreter_call"]
    status: CodeStatus
    code: str
    container_id: str
    outputs: list[CodeLogs | CodeImage] | None


class McpContentError(TypedDict):
    """The tool itself failed."""

    type: Literal["mcp_tool_execution_error"]
    content: list[Any]


class McpProtocolError(TypedDict):
    """The server, or the way to it, failed."""

    type: Literal["mcp_protocol_error", "http_error"]
    code: int
    message: str


class ListedMcpCall(TypedDict):
    """A call of an MCP server's tool."""

    id: str
    type: Literal["mcp_call"]
    status: McpStatus
    approval_request_id: str | None
    server_label: str
    name: str
    arguments: str
    output: str | None
    error: McpContentError | McpProtocolError | None


class ListedMcpTool(TypedDict):
    """A tool that an MCP server offers."""

    name: str
    input_schema: dict[str, Any]
    description: NotRequired[str]
    annotations: NotRequired[dict[str, Any]]


class ListedMcpTools(TypedDict):
    """What an MCP server offers, or why it offers nothing."""

    id: str
    type: Literal["mcp_list_tools"]
    server_label: str
    tools: list[ListedMcpTool]
    error: NotRequired[str]


class ListedApprovalRequest(TypedDict):
    """A call that waits for the client's word."""

    id: str
    type: Literal["mcp_approval_request"]
    server_label: str
    name: str
    arguments: str


ListedHosted = (
    ListedWebSearchCall | ListedCodeCall | ListedMcpCall | ListedMcpTools | ListedApprovalRequest
)
