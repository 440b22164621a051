"""What blocks say that tell of another server's work: its own tools, MCP servers, summaries.

This server ran none of it; the model is told in short what was done and found. Source:
Anthropic's API reference (server tools, MCP connector, compaction). Shapes are not validated:
what is not as expected is not told.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from mlxoss.api.history.attachments import to_note, to_text
from mlxoss.core import JsonObject

_CALLS = frozenset({"server_tool_use", "mcp_tool_use"})
_RESULT = "_tool_result"
_COMPACTION = "compaction"
_SILENT = frozenset({"mcp_tool_listing", "fallback"})
"""A list of another server's tools, and where another model went on: nothing to tell."""
_TOLD = (
    *("title", "url", "text", "stdout", "stderr", "error_code", "content"),
    *("tool_references", "tool_name"),
)
"""The fields of results that are for the model; what is sealed is not."""


def is_record(kind: str) -> bool:
    """Whether blocks of the type tell of what another server did."""
    return kind in _CALLS or kind.endswith(_RESULT) or kind in (_COMPACTION, *_SILENT)


def to_tool_name(kind: str, name: str | None) -> str:
    """The tool that a block of the type ``kind`` tells of; ``name`` is the block's own."""
    return name or kind.removesuffix(_RESULT)


def put_record(block: object) -> object:
    """The block with what it tells as its ``text``, if it is such a one: ``""`` for nothing."""
    kind = block.get("type") if isinstance(block, Mapping) else None
    if not isinstance(block, Mapping) or not isinstance(kind, str) or not is_record(kind):
        return block
    kept = {name: block[name] for name in ("type", "name") if name in block}
    found = list(_references(block.get("content")))
    content = {"content": found} if found else {}
    return {**kept, **content, "text": "\n".join(filter(None, _tell(kind, block)))}


def _references(content: object) -> Iterator[JsonObject]:
    """What a search of tools found."""
    found = content.get("tool_references") if isinstance(content, Mapping) else None
    for one in found if isinstance(found, list) else ():
        name = one.get("tool_name") if isinstance(one, Mapping) else None
        if isinstance(name, str):
            yield {"type": "tool_reference", "tool_name": name}


def _tell(kind: str, block: Mapping[str, object]) -> Iterator[str]:
    if kind in _CALLS:
        server = block.get("server_name")
        where = f" of the MCP server {server}" if isinstance(server, str) else ""
        arguments = json.dumps(block.get("input"), ensure_ascii=False)
        yield f"Called the tool {block.get('name')}{where} with: {arguments}"
        return
    lines = [] if kind in _SILENT else list(_lines(block.get("content")))
    if lines and kind == _COMPACTION:
        yield "Summary of the conversation so far:\n"
    elif lines and block.get("is_error"):
        yield "It failed:"
    yield from lines


def _lines(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for part in value:
            yield from _lines(part)
    elif isinstance(value, Mapping):
        text = to_text(value)
        whole = to_note(value) if text is None else text
        if whole is not None:
            yield whole
        else:
            for name in _TOLD:
                yield from _lines(value.get(name))
