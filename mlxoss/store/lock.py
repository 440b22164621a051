"""Who may use the store: one process at a time."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path

from mlxoss.errors import StoreError

WAIT_S = 1.0
"""How long an instance that is just ending may take to let go."""

_PAUSE_S = 0.02


class FileLock:
    """Keeps a second process off the store.

    An advisory lock on a file beside the database, which the kernel drops when the
    process dies, however it dies. It is not on the database itself: closing any
    other descriptor of that would drop SQLite's own locks (sqlite.org, "How To
    Corrupt An SQLite Database File", 2.2).
    """

    def __init__(self, path: Path) -> None:
        """Take the lock, waiting ``WAIT_S`` for it; ``StoreError`` if another process holds it."""
        self._file = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + WAIT_S
        while not _take(self._file):
            if time.monotonic() < deadline:
                time.sleep(_PAUSE_S)
                continue
            holder = os.read(self._file, 20).decode("ascii", "replace").strip()
            os.close(self._file)
            raise StoreError(
                f"{path} is in use by another mlxoss (process {holder or 'unknown'}). "
                "Stop it first, or give this one another data folder."
            )
        with suppress(OSError):  # a full disk: only the holder's name is lost
            os.ftruncate(self._file, 0)
            os.write(self._file, f"{os.getpid()}\n".encode())

    def release(self) -> None:
        """Let others in. The lock's file stays: removing it would race with an opener."""
        os.close(self._file)


def _take(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
