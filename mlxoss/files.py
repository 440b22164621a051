"""Files that several processes look at: replaced whole, and changed by one at a time.

One durability for all: what a call has written is on the disk before it is seen, and stays there
when the power goes after the call. (What can be made again, and is checked when it is read, needs
none of that: ``mlxoss.engine`` writes its snapshots by itself.)
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PRIVATE = 0o600

Stamp = tuple[int, int, int] | None
"""Size, time of change and inode of a file; ``None``: there is none to look at."""

_PAUSE_S = 0.02


def replace_file(path: Path, data: bytes, *, mode: int = PRIVATE) -> None:
    """Put a regular file with exactly these bytes and this mode in the place of ``path``.

    Nobody ever sees half of it, or one that others may read for a moment. The folder must exist.
    A symbolic link is replaced by the file. Raises ``OSError``, and leaves the old file then.
    """
    with _draft(path, data, mode) as draft:
        draft.replace(path)
        sync_folder(path.parent)


def make_file(path: Path, data: bytes) -> bool:
    """As ``replace_file``, but a file that is there stays; whether this one was made."""
    with _draft(path, data, PRIVATE) as draft:
        try:
            os.link(draft, path)
        except FileExistsError:
            return False
        sync_folder(path.parent)
        return True


def write_if_changed(path: Path, data: bytes, *, mode: int = PRIVATE) -> bool:
    """As ``replace_file``, only if something differs; returns whether it did.

    The folder is made if missing. Also a symbolic link to the same bytes is replaced: launchd
    passes over links at login.
    """
    if _is_same(path, data, mode):
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, data, mode=mode)
    return True


def sync_folder(folder: Path) -> None:
    """Put on the disk which files are in ``folder``. Raises ``OSError``."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file ``path``, waiting for others without end. Raises ``OSError``."""
    descriptor = take_lock(path)
    try:
        yield
    finally:
        os.close(descriptor)


def take_lock(path: Path, limit_s: float | None = None) -> int:
    """Take the lock file ``path``, made if missing; closing the descriptor lets go of it.

    The kernel lets go too when the process dies, however it dies. The file stays: removing it
    would race with who opens it. Waits for another process, or another holder in this one, for
    ``limit_s`` (``None``: without end) and raises ``BlockingIOError`` then.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, PRIVATE)
    try:
        if limit_s is None:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        else:
            _take_within(descriptor, limit_s)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def stamp(path: Path) -> Stamp:
    """By what to see that ``path`` was replaced or changed; links followed, nothing opened."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns, found.st_ino


@contextmanager
def _draft(path: Path, data: bytes, mode: int) -> Iterator[Path]:
    """A file beside ``path`` that is on the disk; gone at the end unless it was renamed."""
    draft = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(descriptor, mode)  # whatever the umask
            os.fsync(descriptor)
        yield draft
    finally:
        draft.unlink(missing_ok=True)


def _is_same(path: Path, data: bytes, mode: int) -> bool:
    try:
        held = not path.is_symlink() and path.stat().st_mode & 0o777 == mode
        return held and path.read_bytes() == data
    except OSError:
        return False


def _take_within(descriptor: int, limit_s: float) -> None:
    deadline = time.monotonic() + limit_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_PAUSE_S)
        else:
            return
