"""Files that several processes may look at: replaced whole, written by one at a time."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from mlxoss.errors import ServiceError
from mlxoss.service.supervisor import Pace


def write_if_changed(path: Path, data: bytes, *, mode: int) -> bool:
    """Make ``path`` a regular file with exactly these bytes and this mode.

    Replaces it whole and only if something differs; returns whether it did. The folder is
    made if missing. A symbolic link is replaced by a file: launchd passes over links at
    login. Raises ``OSError``.
    """
    if _same(path, data, mode):
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            os.fchmod(file.fileno(), mode)
        os.replace(partial, path)
    except OSError:
        Path(partial).unlink(missing_ok=True)
        raise
    return True


def _same(path: Path, data: bytes, mode: int) -> bool:
    try:
        held = not path.is_symlink() and path.stat().st_mode & 0o777 == mode
        return held and path.read_bytes() == data
    except OSError:
        return False


@contextmanager
def locked(path: Path, pace: Pace, *, limit_s: float = 60.0) -> Iterator[None]:
    """Hold the lock file ``path``; waits for another process, then raises ``ServiceError``."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(path, "ab", opener=partial(os.open, mode=0o600)) as file:

        def taken() -> bool:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

        if not pace.until(taken, limit_s):
            raise ServiceError("another mlxoss command is changing the service; try again")
        yield
