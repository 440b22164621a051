"""What a request declares of the tools that this server runs, against what it has of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from mlxoss.api.errors import invalid, unsupported
from mlxoss.api.hosted.declared import (
    Approvals,
    DeclaredBrowser,
    DeclaredMcp,
    DeclaredPython,
    HostedDeclared,
    HostedOffer,
    ToolFilter,
)
from mlxoss.api.responses.hosted.params import (
    WEB_SEARCH_TYPES,
    CodeInterpreterParam,
    McpParam,
    ToolFilterParam,
    WebSearchParam,
)
from mlxoss.api.validation import to_param, validate
from mlxoss.core import JsonObject
from mlxoss.outcomes import McpServerRef

Location = tuple[int | str, ...]

HOSTED_TYPES = frozenset({*WEB_SEARCH_TYPES, "code_interpreter", "mcp"})


@dataclass(frozen=True, slots=True)
class HostedTool:
    """A declared tool that this server has. ``public`` is what the response lists of it: nothing
    that is for an MCP server alone."""

    declared: DeclaredPython | DeclaredBrowser | DeclaredMcp
    public: JsonObject


@dataclass(slots=True)
class HostedReader:
    """Those of a request, as they are read one after the other."""

    offer: HostedOffer
    declared: HostedDeclared = field(default_factory=HostedDeclared)

    def read(self, value: JsonObject, location: Location) -> HostedTool | None:
        """The tool at ``location``, whose type is of ``HOSTED_TYPES``; ``None`` if this server
        does not have it. Raises InvalidRequest that names its field."""
        tool = _read_tool(value, location, self.offer)
        if tool is not None:
            self.declared = _with(self.declared, tool.declared, location)
        return tool


def read_mcp(tools: Sequence[Any] | None, offer: HostedOffer) -> tuple[DeclaredMcp, ...]:
    """The MCP servers among a request's ``tools`` that this server can ask, before it is known
    what they offer. Raises InvalidRequest that names the field; other tools are not looked at."""
    read = HostedReader(offer)
    for position, value in enumerate(tools or ()):
        if isinstance(value, dict) and value.get("type") == "mcp":
            read.read(value, ("tools", position))
    return read.declared.mcp


def _read_tool(value: JsonObject, location: Location, offer: HostedOffer) -> HostedTool | None:
    """As ``HostedReader.read``. What is not enabled is not looked into."""
    match value["type"]:
        case "mcp":
            has_servers = bool(offer.mcp_labels) or offer.allows_addresses
            return _read_mcp(value, location, offer) if has_servers else None
        case "code_interpreter":
            return _read_python(value, location) if offer.python else None
    return _read_search(value, location) if offer.browser else None


def _read_search(value: JsonObject, location: Location) -> HostedTool | None:
    search = validate(WebSearchParam, value, location)
    if search.external_web_access is False:
        return None
    if search.filters is not None and search.filters.blocked_domains is not None:
        where = to_param((*location, "filters", "blocked_domains"))
        raise unsupported(where, "name those that are allowed instead")
    domains = search.filters.allowed_domains if search.filters else None
    public = search.model_dump(exclude_none=True)
    return HostedTool(DeclaredBrowser(tuple(domains or ())), public)


def _read_python(value: JsonObject, location: Location) -> HostedTool | None:
    code = validate(CodeInterpreterParam, value, location)
    container = code.container
    if not _is_for_model(code.allowed_callers):
        return None
    if container is None:
        return HostedTool(DeclaredPython(), {"type": code.type, "container": {"type": "auto"}})
    where = (*location, "container")
    if container.file_ids:
        raise unsupported(to_param((*where, "file_ids")), "this server keeps no files")
    policy = container.network_policy
    if policy is not None and policy.type != "disabled":
        raise unsupported(to_param((*where, "network_policy")), "code never reaches a network here")
    shown: Any = container.id or container.model_dump(exclude_none=True)
    return HostedTool(DeclaredPython(container.id), {"type": code.type, "container": shown})


def _is_for_model(callers: Sequence[str] | None) -> bool:
    return callers is None or "direct" in callers


def _read_mcp(value: JsonObject, location: Location, offer: HostedOffer) -> HostedTool | None:
    mcp = validate(McpParam, value, location)
    is_connected = mcp.connector_id is not None and not _is_own(mcp, offer)
    if is_connected or mcp.tunnel_id is not None or not _is_for_model(mcp.allowed_callers):
        return None
    if mcp.server_url is None and mcp.server_label not in offer.mcp_labels:
        if not offer.mcp_labels:
            return None
        known = ", ".join(offer.mcp_labels)
        where = to_param((*location, "server_label"))
        raise invalid(where, f"this server's MCP servers are: {known}")
    if mcp.server_url is not None:
        _check_address(mcp.server_url, location)
        if not offer.allows_addresses:
            return None
    declared = DeclaredMcp(
        server=McpServerRef(mcp.server_label, mcp.server_url, tuple(_headers(mcp))),
        allowed=_to_allowed(mcp.allowed_tools),
        approvals=_to_approvals(mcp),
        description=mcp.server_description,
    )
    return HostedTool(declared, _public_mcp(mcp))


def _is_own(mcp: McpParam, offer: HostedOffer) -> bool:
    """Whether it is connected to a server of the configuration: by the same name, as clients do
    that want an address or a connector."""
    return mcp.connector_id == mcp.server_label and mcp.server_label in offer.mcp_labels


def _check_address(url: str, location: Location) -> None:
    try:
        address = urlsplit(url)
        is_address = address.scheme in ("http", "https") and bool(address.hostname)
    except ValueError:
        is_address = False
    if not is_address:
        raise invalid(to_param((*location, "server_url")), "input should be an http(s) address")


def _headers(mcp: McpParam) -> Iterator[tuple[str, str]]:
    for name, value in (mcp.headers or {}).items():
        if mcp.authorization is None or name.lower() != "authorization":
            yield name, value
    if mcp.authorization is not None:
        yield "Authorization", f"Bearer {mcp.authorization}"


def _public_mcp(mcp: McpParam) -> JsonObject:
    """As OpenAI lists it: what may hold secrets is left out, of the address all but its host.

    So is a connector, which is a label of ours.
    """
    kept_back = {"headers", "authorization", "server_url", "connector_id"}
    shown = mcp.model_dump(exclude_none=True, exclude=kept_back)
    if mcp.server_url is not None:
        address = urlsplit(mcp.server_url)
        host = address.netloc.rpartition("@")[2]
        shown["server_url"] = f"{address.scheme}://{host}/"
    return {**shown, "require_approval": shown.get("require_approval", "always")}


def _to_allowed(wanted: list[str] | ToolFilterParam | None) -> ToolFilter | None:
    if isinstance(wanted, list):
        return ToolFilter(frozenset(wanted))
    return None if wanted is None else _to_filter(wanted)


def _to_filter(wanted: ToolFilterParam) -> ToolFilter:
    names = None if wanted.tool_names is None else frozenset(wanted.tool_names)
    return ToolFilter(names, wanted.read_only)


def _to_approvals(mcp: McpParam) -> Approvals:
    match mcp.require_approval:
        case None | "always":
            return Approvals()
        case "never":
            return Approvals(never=ToolFilter())
        case wanted:
            always = None if wanted.always is None else _to_filter(wanted.always)
            never = None if wanted.never is None else _to_filter(wanted.never)
            # A filter that says nothing takes nothing off the client's hands.
            return Approvals(always, None if never == ToolFilter() else never)


def _with(
    declared: HostedDeclared,
    tool: DeclaredPython | DeclaredBrowser | DeclaredMcp,
    location: Location,
) -> HostedDeclared:
    """``declared`` with one more. Raises InvalidRequest for a tool that is there twice."""
    match tool:
        case DeclaredPython() if declared.python is None:
            return replace(declared, python=tool)
        case DeclaredBrowser() if declared.browser is None:
            return replace(declared, browser=tool)
        case DeclaredMcp():
            if declared.server(tool.label) is None:
                return replace(declared, mcp=(*declared.mcp, tool))
            where = to_param((*location, "server_label"))
            raise invalid(where, f"the server '{tool.label}' is declared twice")
    raise invalid(to_param((*location, "type")), "this tool is declared twice")


def to_builtin_types(declared: HostedDeclared) -> Mapping[str, str]:
    """The built-in tools that ``declared`` has, by the types that name them."""
    types: dict[str, str] = {}
    if declared.browser is not None:
        types |= dict.fromkeys(WEB_SEARCH_TYPES, "browser")
    if declared.python is not None:
        types["code_interpreter"] = "python"
    return types


def to_advice(offer: HostedOffer) -> Mapping[str, str]:
    """Why a tool that is not among those a request declares cannot be called, by its type."""
    is_here = {
        **dict.fromkeys(WEB_SEARCH_TYPES, (offer.browser, "'mlxoss tools enable browser'")),
        "code_interpreter": (offer.python, "'mlxoss tools enable python'"),
        "mcp": (bool(offer.mcp_labels) or offer.allows_addresses, "'mlxoss mcp list'"),
    }
    return {
        kind: f"no tool '{kind}' among 'tools' may be used"
        if is_enabled
        else f"this server has no tool '{kind}': see {command}"
        for kind, (is_enabled, command) in is_here.items()
    }
