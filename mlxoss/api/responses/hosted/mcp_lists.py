"""What MCP servers offer: from and to ``mcp_list_tools`` items, and as functions for the model.

gpt-oss was trained with no form for MCP: each tool is a function ``label__tool``. A list that a
conversation holds is taken from there, so that its prompts begin alike whatever the server says
meanwhile.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final

from mlxoss.api.params import flatten
from mlxoss.api.responses.hosted.item_answers import ListedMcpTool, ListedMcpTools
from mlxoss.api.responses.items import Item, RecordItem
from mlxoss.outcomes import McpTool, McpToolList

_LIST: Final = "mcp_list_tools"
_MAX_NAME = 64
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_-]+")


def listed_servers(items: Iterable[Item]) -> Mapping[str, McpToolList]:
    """What the servers of these labels offer by ``items``; the latest list counts, and one that
    failed does not."""
    found: dict[str, McpToolList] = {}
    for item in items:
        if isinstance(item, RecordItem) and item.type == _LIST:
            label, tools = item.fields.get("server_label"), item.fields.get("tools")
            if isinstance(label, str) and isinstance(tools, list) and not item.fields.get("error"):
                found[label] = McpToolList(tuple(_read_tools(tools)))
    return found


def _read_tools(tools: list[Any]) -> Iterator[McpTool]:
    for tool in tools:
        name = tool.get("name") if isinstance(tool, dict) else None
        if not isinstance(name, str):
            continue
        schema, about = tool.get("input_schema"), tool.get("description")
        yield McpTool(
            name,
            schema if isinstance(schema, dict) else {},
            about if isinstance(about, str) else None,
            is_read_only=_is_read_only(tool.get("annotations")),
        )


def _is_read_only(annotations: object) -> bool:
    return isinstance(annotations, dict) and bool(
        annotations.get("readOnlyHint") or annotations.get("read_only")
    )


def to_list_item(item_id: str, label: str, listed: McpToolList) -> ListedMcpTools:
    """The item that lists what a server offers. What there is not is left out: the AI SDK takes
    no null here."""
    item: ListedMcpTools = {
        "id": item_id,
        "type": _LIST,
        "server_label": label,
        "tools": [_to_tool(tool) for tool in listed.tools],
    }
    if listed.failure is not None:
        item["error"] = listed.failure.message
    return item


def _to_tool(tool: McpTool) -> ListedMcpTool:
    shown: ListedMcpTool = {"name": tool.name, "input_schema": dict(tool.input_schema)}
    if tool.description is not None:
        shown["description"] = tool.description
    if tool.is_read_only:
        shown["annotations"] = {"readOnlyHint": True}
    return shown


def to_function_name(label: str, tool: str, taken: Collection[str]) -> str:
    """The name by which the model knows a server's tool; another's, if it is ``taken``, is
    followed by a number."""
    plain = _NOT_IN_NAMES.sub("_", flatten(tool, label))
    name, number = plain[:_MAX_NAME], 2
    while name in taken:
        end = f"_{number}"
        name, number = plain[: _MAX_NAME - len(end)] + end, number + 1
    return name
