"""The fields of the tools that this server may run itself.

Source: OpenAI's API reference (responses, tools). What only says how much of the web is wanted, or
where the user is, has no word in the tools that gpt-oss was trained with, and changes nothing.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from mlxoss.api.params import Refused
from mlxoss.api.validation import StrictModel

WEB_SEARCH_TYPES = (
    "web_search",
    "web_search_2025_08_26",
    "web_search_preview",
    "web_search_preview_2025_03_11",
)
WebSearchType = Literal[
    "web_search",
    "web_search_2025_08_26",
    "web_search_preview",
    "web_search_preview_2025_03_11",
]
ServerLabel = Annotated[str, Field(min_length=1, max_length=128)]
ContainerId = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,128}$")]
Domain = Annotated[str, Field(min_length=1, max_length=253)]


class SearchFilters(StrictModel):
    """Which sites may be searched and opened; at most 100, as at OpenAI."""

    allowed_domains: Annotated[list[Domain], Field(max_length=100)] | None = None
    blocked_domains: Refused = None


class WebSearchParam(StrictModel):
    """A search of the web. Without ``external_web_access`` nothing may be fetched."""

    type: WebSearchType
    filters: SearchFilters | None = None
    external_web_access: bool | None = None
    search_context_size: Literal["low", "medium", "high"] | None = None
    user_location: dict[str, Any] | None = None


class NetworkPolicy(StrictModel):
    """What code may reach: nothing, or what only OpenAI's containers can."""

    type: str


class AutoContainer(StrictModel):
    """A container that the server chooses. ``memory_limit`` is the server's own here."""

    type: Literal["auto"]
    file_ids: list[str] | None = None
    memory_limit: str | None = None
    network_policy: NetworkPolicy | None = None


def _to_container(value: Any) -> Any:
    return {"type": "auto", "id": value} if isinstance(value, str) else value


class ContainerParam(AutoContainer):
    """The same, or the one of an ``id``."""

    id: ContainerId | None = None


class CodeInterpreterParam(StrictModel):
    """Python that is run here."""

    type: Literal["code_interpreter"]
    container: Annotated[
        ContainerParam | None,
        BeforeValidator(_to_container, json_schema_input_type=str | AutoContainer | None),
    ] = None
    allowed_callers: list[str] | None = None


class ToolFilterParam(StrictModel):
    """Some of a server's tools."""

    tool_names: list[str] | None = None
    read_only: bool | None = None


class ApprovalsParam(StrictModel):
    """Which calls need a word of the client's, and which do not."""

    always: ToolFilterParam | None = None
    never: ToolFilterParam | None = None


class McpParam(StrictModel):
    """An MCP server. ``headers`` and ``authorization`` are for it alone."""

    type: Literal["mcp"]
    server_label: ServerLabel
    server_url: Annotated[str, Field(min_length=1, max_length=2048)] | None = None
    server_description: str | None = None
    headers: dict[str, str] | None = Field(None, repr=False)
    authorization: str | None = Field(None, repr=False)
    allowed_tools: list[str] | ToolFilterParam | None = None
    require_approval: Literal["always", "never"] | ApprovalsParam | None = None
    connector_id: str | None = None
    tunnel_id: str | None = None
    defer_loading: bool | None = None
    allowed_callers: list[str] | None = None
