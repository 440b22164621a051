"""Removing everything that is kept, while no daemon uses it."""

from __future__ import annotations

from pathlib import Path

from mlxoss.errors import StoreError
from mlxoss.store.aside import SUFFIXES, find_aside
from mlxoss.store.lock import FileLock


def wipe(path: Path) -> int:
    """Remove the database ``path`` with its logs, whatever is in it; return its bytes.

    So go the damaged ones that were moved aside.

    Raises StoreError when a daemon uses it, or a file cannot be removed. Copies that a
    backup made are out of reach.
    """
    if not path.parent.is_dir():
        return 0
    lock = FileLock(path)
    try:
        # The logs first: a database without them is whole, they without it are not.
        own = [path.with_name(path.name + suffix) for suffix in reversed(SUFFIXES)]
        return sum(map(_remove, [*own, *find_aside(path)]))
    except OSError as error:
        raise StoreError(f"{path} cannot be removed: {error.strerror or error}.") from error
    finally:
        lock.release()


def _remove(file: Path) -> int:
    try:
        size = file.stat().st_size
        file.unlink()
    except FileNotFoundError:
        return 0
    return size
