"""What a tool answered, as text for the model."""

from __future__ import annotations

import json

from mcp_types import (
    AudioContent,
    BlobResourceContents,
    CallToolResult,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
    TextResourceContents,
)

_BYTES_PER_BASE64 = 3 / 4


def to_text(result: CallToolResult, most_chars: int) -> str:
    """Its blocks one below the other; the structured content where no block has text."""
    pieces = [_to_text(block) for block in result.content]
    has_text = any(isinstance(block, TextContent | EmbeddedResource) for block in result.content)
    if result.structured_content is not None and not has_text:
        pieces.insert(0, json.dumps(result.structured_content, ensure_ascii=False))
    return cut("\n".join(pieces), most_chars)


def cut(text: str, most_chars: int) -> str:
    """``text``, cut to that length with a word about it, and able to be written as UTF-8."""
    if len(text) > most_chars:
        text = f"{text[:most_chars]}\n[{len(text) - most_chars} more characters were cut]"
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _to_text(block: ContentBlock) -> str:
    match block:
        case TextContent():
            return block.text
        case ImageContent() | AudioContent():
            kind = "Image" if isinstance(block, ImageContent) else "Audio"
            return f"[{kind}, {block.mime_type}, {_size(block.data)}: not shown]"
        case ResourceLink():
            return f"[Resource {block.name}: {block.uri}]"
        case EmbeddedResource(resource=TextResourceContents() as resource):
            return f"[Resource {resource.uri}]\n{resource.text}"
        case EmbeddedResource(resource=BlobResourceContents() as resource):
            kind = resource.mime_type or "of unknown type"
            return f"[Resource {resource.uri}, {kind}, {_size(resource.blob)}: not shown]"
        case _:
            return "[Content of a kind that is not shown]"


def _size(base64: str) -> str:
    return f"{len(base64) * _BYTES_PER_BASE64 / 1000:.0f} kB"
