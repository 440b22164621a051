"""Images that code made: files, as a terminal shows none."""

from __future__ import annotations

import binascii
import tempfile
from base64 import b64decode
from pathlib import Path
from types import MappingProxyType

_SUFFIXES: MappingProxyType[str, str] = MappingProxyType(
    {"image/png": "png", "image/jpeg": "jpg", "image/gif": "gif", "image/webp": "webp"}
)


class PlotFolder:
    """A temporary folder of the user's own, made when the first image comes. It stays."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._count = 0

    def save(self, url: str) -> Path | None:
        """The file of the image in a ``data:`` URL; ``None`` for anything else, or if no disk takes
        it.
        """
        head, _, content = url.partition(";base64,")
        suffix = _SUFFIXES.get(head.removeprefix("data:")) if head.startswith("data:") else None
        if suffix is None:
            return None
        try:
            data = b64decode(content, validate=True)
        except binascii.Error:
            return None
        try:
            return self._write(data, suffix)
        except OSError:  # an answer is worth more than its plot
            return None

    def _write(self, data: bytes, suffix: str) -> Path:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="mlxoss-plots-"))
        self._count += 1
        file = self._folder / f"plot-{self._count}.{suffix}"
        file.write_bytes(data)
        return file
