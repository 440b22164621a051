"""What an MCP server may take of time, memory and the model's context."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class McpLimits:
    """Times are seconds on this server's clock, whatever the other side does meanwhile.

    ``connect_s`` is long because ``npx`` and ``uvx`` fetch a server at its first start.
    ``message_bytes`` bounds one message of the server's, ``noise_bytes`` what it sends between two
    answers. The others cut, or leave out, what would fill the model's context.
    """

    connect_s: float = 60.0
    list_s: float = 30.0
    call_s: float = 120.0
    idle_s: float = 300.0
    links: int = 16
    message_bytes: int = 8 << 20
    noise_bytes: int = 64 << 20
    pages: int = 64
    tools: int = 256
    description_chars: int = 4_000
    schema_chars: int = 64_000
    list_chars: int = 256_000
    schema_depth: int = 32
    output_chars: int = 60_000
    message_chars: int = 500
