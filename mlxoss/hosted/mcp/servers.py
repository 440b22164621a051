"""MCP servers for turns: those of ``mcp.json``, and those that requests name by their address."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mlxoss import paths
from mlxoss.config import Config
from mlxoss.files import Stamp, stamp
from mlxoss.hosted.mcp.limits import McpLimits
from mlxoss.hosted.mcp.link import Answer, LinkFailed
from mlxoss.hosted.mcp.links import Links, Operation
from mlxoss.hosted.mcp.server import AddressServer, McpServer
from mlxoss.hosted.mcp.settings_file import McpFile, read_mcp_file
from mlxoss.hosted.tools import McpServers
from mlxoss.outcomes import McpFailure, McpOutcome, McpServerRef, McpTool, McpToolList

logger = logging.getLogger(__name__)


def open_mcp(config: Config, limits: McpLimits | None = None) -> McpServers | None:
    """The servers that the settings allow, ``None`` where they allow none. Starts nothing."""
    if config.tool_mcp == "off" and config.mcp_addresses == "off":
        return None
    path = paths.mcp_file() if config.tool_mcp == "on" else None
    return _Servers(path, limits or McpLimits(), allows_addresses=config.mcp_addresses == "on")


class _Servers:
    """``McpServers``. The file is read anew whenever it has changed."""

    def __init__(self, path: Path | None, limits: McpLimits, *, allows_addresses: bool) -> None:
        self._path = path
        self._allows_addresses = allows_addresses
        self._links = Links(limits)
        self._by_address = Links(limits)  # so that these take no place from those
        self._stamp: Stamp = None
        self._file = McpFile()

    @property
    def labels(self) -> tuple[str, ...]:
        """Those of the file, in its order."""
        return tuple(self._configured())

    @property
    def allows_addresses(self) -> bool:
        """By the setting ``mcp_addresses``."""
        return self._allows_addresses

    async def list_tools(self, server: McpServerRef) -> McpToolList:
        """What it offers, or why it offers nothing."""
        try:
            answer = await self._run(server, lambda link: link.list_tools())
        except LinkFailed as error:
            logger.info("MCP server %s: %s", server.label, error.failure.kind)
            return McpToolList(failure=error.failure)
        return to_tool_list(answer)

    async def call(self, server: McpServerRef, tool: str, arguments: str) -> McpOutcome:
        """The tool's answer, or why there is none: both are text for the model."""
        try:
            given = _to_object(arguments)
            answer = await self._run(server, lambda link: link.call(tool, given))
        except LinkFailed as error:
            return McpOutcome(f"Error: {error.failure.message}", failure=error.failure)
        return McpOutcome(answer["text"], answer["output"])

    async def close(self) -> None:
        """End the processes."""
        await self._links.close()
        await self._by_address.close()

    async def _run(self, server: McpServerRef, operation: Operation) -> Answer:
        links = self._links if server.url is None else self._by_address
        return await links.run(self._find(server), operation)

    def _find(self, server: McpServerRef) -> McpServer:
        """Raises ``LinkFailed``."""
        if server.url is not None:
            return self._at(server, server.url)
        found = self._configured().get(server.label)
        if found is None:
            raise _refused(f"This server has no MCP server '{server.label}'.")
        if server.headers:
            raise _refused("Headers go with the address of a server, and with no other.")
        return found

    def _at(self, server: McpServerRef, url: str) -> AddressServer:
        if not self._allows_addresses:
            raise _refused("This server asks no MCP servers by their address (mcp_addresses).")
        try:
            parts = urlsplit(url)
            fits = parts.scheme in ("http", "https") and parts.username is None
            fits = fits and bool(parts.hostname) and parts.port != 0
        except ValueError:
            fits = False
        if not fits:
            raise _refused("The server's address is no http or https address, or names a user.")
        return AddressServer(server.label, url, server.headers, is_public_only=True)

    def _configured(self) -> Mapping[str, McpServer]:
        if self._path is None:
            return {}
        now = stamp(self._path)
        if now != self._stamp:
            self._stamp = now
            self._file = read_mcp_file(self._path, os.environ)
            for problem in self._file.problems:
                logger.warning("%s", problem)
        return self._file.servers


def to_tool_list(answer: Answer) -> McpToolList:
    """The list that a link's answer is."""
    tools = tuple(
        McpTool(each["name"], each["input_schema"], each["description"], each["is_read_only"])
        for each in answer["tools"]
    )
    return McpToolList(tools, left_out=tuple(name for name, _ in answer["left_out"]))


def _to_object(arguments: str) -> dict[str, Any]:
    try:
        given = json.loads(arguments)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        message = "The arguments are no JSON object."
        raise LinkFailed(McpFailure("mcp_tool_execution_error", message))
    return given


def _refused(message: str) -> LinkFailed:
    return LinkFailed(McpFailure("mcp_protocol_error", message))
