"""Who may use the store: one process at a time."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from mlxoss.errors import StoreError
from mlxoss.files import take_lock

WAIT_S = 1.0
"""How long an instance that is just ending may take to let go."""


class FileLock:
    """Keeps a second process off the store.

    An advisory lock on a file beside the database, not on the database itself: closing any
    other descriptor of that would drop SQLite's own locks (sqlite.org, "How To
    Corrupt An SQLite Database File", 2.2).
    """

    def __init__(self, path: Path) -> None:
        """Take the lock, waiting ``WAIT_S`` for it; ``StoreError`` if another process holds it."""
        lock = path.with_name(path.name + ".lock")
        try:
            self._file = take_lock(lock, WAIT_S)
        except BlockingIOError:
            holder = lock.read_text("ascii", "replace")[:20].strip()
            raise StoreError(
                f"{path} is in use by another mlxoss (process {holder or 'unknown'}). "
                "Stop it first, or give this one another data folder."
            ) from None
        with suppress(OSError):  # a full disk: only the holder's name is lost
            os.ftruncate(self._file, 0)
            os.write(self._file, f"{os.getpid()}\n".encode())

    def release(self) -> None:
        """Let others in. The lock's file stays: removing it would race with an opener."""
        os.close(self._file)
