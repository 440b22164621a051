"""Messages between the daemon and a worker: JSON behind four bytes of its length, big-endian.

They go over a socket pair of their own. What code prints goes another way, and is never read as a
message; what code writes into the socket itself can only break its own container.
"""

from __future__ import annotations

import json
import os
import struct
from typing import Any

HEADER = struct.Struct(">I")
MOST_BYTES = 32 << 20
"""Longer messages are refused on both sides."""

Message = dict[str, Any]


def pack(message: Message) -> bytes:
    """The bytes of ``message``; raises ``ValueError`` if they are too many."""
    body = json.dumps(message).encode()
    if len(body) > MOST_BYTES:
        raise ValueError("the message is too long")
    return HEADER.pack(len(body)) + body


def length(header: bytes) -> int:
    """How many bytes come behind ``header``; raises ``ValueError`` if they are too many."""
    (found,) = HEADER.unpack(header)
    if found > MOST_BYTES:
        raise ValueError("the message is too long")
    return int(found)


def unpack(body: bytes) -> Message:
    """The message; raises ``ValueError`` where it is no JSON object."""
    try:
        message = json.loads(body)
    except RecursionError:
        raise ValueError("the message is nested too deeply") from None
    if not isinstance(message, dict):
        raise ValueError("the message is no object")
    return message


def receive(descriptor: int) -> Message | None:
    """Wait for a message; ``None`` once the other side has closed."""
    header = _read(descriptor, HEADER.size)
    if header is None:
        return None
    body = _read(descriptor, length(header))
    return None if body is None else unpack(body)


def send(descriptor: int, message: Message) -> None:
    """Write all of ``message``."""
    left = memoryview(pack(message))
    while left:
        left = left[os.write(descriptor, left) :]


def _read(descriptor: int, size: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < size:
        part = os.read(descriptor, size - len(parts))
        if not part:
            return None
        parts += part
    return bytes(parts)
