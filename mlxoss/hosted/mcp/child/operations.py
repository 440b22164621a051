"""What the server's process asks for: the list of tools, and calls of them."""

from __future__ import annotations

import asyncio
from typing import Any

from mcp import Client
from mcp_types import Tool

from mlxoss.hosted.mcp.child.connection import Connection
from mlxoss.hosted.mcp.child.failures import EXECUTION, PROTOCOL
from mlxoss.hosted.mcp.child.results import to_text

_NO_OUTPUT = "The tool answered without content."


class Operations:
    """Those of one connection. Raises whatever the SDK does."""

    def __init__(self, client: Client, connection: Connection) -> None:
        self._client = client
        self._sieve = connection.sieve
        self._limits = connection.limits
        self._names: frozenset[str] | None = None
        self._listing = asyncio.Lock()

    async def list_tools(self) -> dict[str, Any]:
        """All pages, up to a bound: a list may go on without end."""
        async with self._listing:
            self._sieve.begin()
            tools = await self._all_pages()
            self._names = frozenset(tool.name for tool in tools)
            return {
                "tools": [_to_message(tool) for tool in tools],
                "left_out": [list(each) for each in self._sieve.left_out],
            }

    async def call(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """The tool's answer. Only what the server offers is called, checked as it was offered."""
        if self._names is None or name not in self._names:
            await self.list_tools()
        if self._names is None or name not in self._names:
            message = f"The server offers no tool {name!r}."
            return {"failure": {"kind": PROTOCOL, "message": message, "code": None}}
        result = await self._client.call_tool(name, arguments)
        text = to_text(result, self._limits.output_chars)
        if not result.is_error:
            return {"output": text, "text": text or _NO_OUTPUT}
        message = text or "The tool failed, and does not say why."
        return {"failure": {"kind": EXECUTION, "message": message, "code": None}}

    async def _all_pages(self) -> list[Tool]:
        tools: list[Tool] = []
        cursor: str | None = None
        for _ in range(self._limits.pages):
            page = await self._client.list_tools(cursor=cursor)
            tools += page.tools
            cursor = page.next_cursor
            if not cursor or len(tools) >= self._limits.tools:
                return tools
        self._sieve.left_out.append(("?", f"the list has more than {self._limits.pages} pages"))
        return tools


def _to_message(tool: Tool) -> dict[str, Any]:
    return {
        "name": tool.name,
        "input_schema": tool.input_schema,
        "description": tool.description,
        "is_read_only": bool(tool.annotations and tool.annotations.read_only_hint),
    }
