"""Messages between this server and the processes that speak to MCP servers.

A message is a JSON object behind its length: four bytes, most significant first.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

_LENGTH_BYTES = 4


class BadFrame(ValueError):
    """What came is no message, or longer than any may be."""


def pack_frame(message: Mapping[str, Any]) -> bytes:
    """The message's bytes."""
    body = json.dumps(message, separators=(",", ":")).encode()
    return len(body).to_bytes(_LENGTH_BYTES, "big") + body


async def read_frame(reader: asyncio.StreamReader, most_bytes: int) -> dict[str, Any] | None:
    """The next message; ``None`` at the end, even in the middle of one. Raises ``BadFrame``."""
    try:
        length = int.from_bytes(await reader.readexactly(_LENGTH_BYTES), "big")
        if length > most_bytes:
            raise BadFrame(f"a message of {length} bytes")
        body = await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        raise BadFrame("no JSON") from None
    if not isinstance(message, dict):
        raise BadFrame("no object")
    return message
