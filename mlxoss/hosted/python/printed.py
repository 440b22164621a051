"""What a cell prints: read as it comes, the first and the last of it kept."""

from __future__ import annotations

import os
from collections.abc import Mapping

_CHUNK = 1 << 16
_CHUNKS_AT_ONCE = 16


class Printed:
    """Reads the pipe ``descriptor``, which does not block. The event loop's thread."""

    def __init__(self, descriptor: int, most: int) -> None:
        self._descriptor = descriptor
        self._half = most // 2
        self.clear()

    def clear(self) -> None:
        """Forget what was printed."""
        self.total = 0
        self._head = bytearray()
        self._tail = bytearray()

    def read(self) -> bool:
        """Take what is there, a pipe's worth at least; whether more may come."""
        for _ in range(_CHUNKS_AT_ONCE):
            try:
                part = os.read(self._descriptor, _CHUNK)
            except BlockingIOError:
                return True
            except OSError:
                return False
            if not part:
                return False
            self._add(part)
        return True

    def text(self, shown: Mapping[str, str]) -> str:
        """What was kept, with what is ``shown`` in the place of each path."""
        left_out = self.total - len(self._head) - len(self._tail)
        if left_out == 0:
            return _decode(self._head + self._tail, shown)
        head, tail = (_decode(part, shown) for part in (self._head, self._tail))
        return f"{head}\n[... {left_out:,} bytes left out ...]\n{tail}"

    def _add(self, part: bytes) -> None:
        self.total += len(part)
        room = self._half - len(self._head)
        self._head += part[:room]
        self._tail += part[room:] if room < len(part) else b""
        del self._tail[: max(0, len(self._tail) - self._half)]


def _decode(part: bytearray, shown: Mapping[str, str]) -> str:
    """Bytes that are no text, and characters that were cut, are shown as such."""
    text = part.decode("utf-8", "replace")
    for path, instead in shown.items():
        text = text.replace(path, instead)
    return text
