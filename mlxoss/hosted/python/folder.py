"""A container's folder: how much is in it, and how it goes, whatever code made of it.

The daemon never follows a link in it, never opens a file of it, and never builds a long path.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_BLOCK = 512


@dataclass(frozen=True, slots=True)
class FolderSize:
    """What is in a folder: bytes of files on the disk, and files and folders.

    ``is_hidden``: not all of it can be seen, by its modes or its depth.
    """

    bytes: int
    count: int
    is_hidden: bool = False


def measure(folder: Path, most: int) -> FolderSize:
    """Measure ``folder``, no further than to ``most`` files. Beside a process at work."""
    size = count = 0
    waiting = [str(folder)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    count += 1
                    size += _size(entry)
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    if count > most:
                        return FolderSize(size, count)
        except (FileNotFoundError, NotADirectoryError):
            continue  # gone meanwhile
        except OSError:
            return FolderSize(size, count, is_hidden=True)
    return FolderSize(size, count)


def remove(folder: Path) -> None:
    """Remove ``folder`` and all in it; no process may be at work there. Raises ``OSError``.

    Folders below are moved up before they are emptied, so that no depth is too deep.
    """
    if not folder.exists():
        return
    waiting = [folder]
    while waiting:
        each = waiting.pop()
        each.chmod(0o700)
        waiting += list(_empty(each, folder.parent))
        each.rmdir()


def _empty(folder: Path, beside: Path) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                moved = beside / f".{secrets.token_hex(8)}"
                os.chmod(entry.path, 0o700)
                os.rename(entry.path, moved)
                yield moved
            else:
                os.unlink(entry.path)


def _size(entry: os.DirEntry[str]) -> int:
    """Without holes, and without what the file system keeps about a file."""
    try:
        found = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return 0
    return 0 if stat.S_ISDIR(found.st_mode) else min(found.st_size, found.st_blocks * _BLOCK)
