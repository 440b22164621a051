"""Messages between the daemon and a worker: JSON behind four bytes of its length, big-endian.

They go over a socket pair of their own. What code prints goes another way, and is never read as a
message; what code writes into the socket itself can only break its own container. A worker's JSON
is short, so that no parser has much to do with it: behind a message that says how long they are,
images follow as they are.
"""

from __future__ import annotations

import json
import os
import struct
from typing import Any

HEADER = struct.Struct(">I")
MOST_FROM_WORKER = 1 << 14
_MOST_TO_WORKER = 16 << 20

Message = dict[str, Any]


def pack(message: Message) -> bytes:
    """The bytes of ``message``; raises ``ValueError`` if they are too many for a worker."""
    body = json.dumps(message).encode()
    if len(body) > _MOST_TO_WORKER:
        raise ValueError("the cell is too long")
    return HEADER.pack(len(body)) + body


def length(header: bytes, most: int) -> int:
    """How many bytes come behind ``header``; ``ValueError`` if more than ``most``."""
    (found,) = HEADER.unpack(header)
    if found > most:
        raise ValueError("it says too much")
    return int(found)


def unpack(body: bytes) -> Message:
    """The message; raises ``ValueError`` where it is no JSON object."""
    try:
        message = json.loads(body)
    except RecursionError:
        raise ValueError("it says what is nested too deeply") from None
    if not isinstance(message, dict):
        raise ValueError("it says something else")
    return message


def receive(descriptor: int) -> Message | None:
    """Wait for a message from the daemon; ``None`` once that has closed."""
    header = _read(descriptor, HEADER.size)
    if header is None:
        return None
    body = _read(descriptor, length(header, _MOST_TO_WORKER))
    return None if body is None else unpack(body)


def send(descriptor: int, message: Message) -> None:
    """Write all of ``message``."""
    send_bytes(descriptor, pack(message))


def send_bytes(descriptor: int, data: bytes) -> None:
    """Write all of ``data``."""
    left = memoryview(data)
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
