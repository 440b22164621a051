"""A container's folder: how much is in it, and how it goes, whatever code made of it.

The daemon never follows a link in it, never opens a file of it, and never builds a long path.
"""

from __future__ import annotations

import os
import secrets
import stat
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_BLOCK = 512


@dataclass(frozen=True, slots=True)
class FolderSize:
    """What is in a folder: bytes of files on the disk, and files and folders.

    ``is_hidden``: not all of it can be seen, by its modes or its depth, or it is no folder.
    """

    bytes: int
    count: int
    is_hidden: bool = False


def measure(folder: Path, most: int) -> FolderSize:
    """Measure ``folder``, no further than to ``most`` files. Beside a process at work."""
    size = count = 0
    if folder.is_symlink():
        return FolderSize(size, count, is_hidden=True)
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


def make(folder: Path) -> None:
    """Make ``folder``, its owner's alone; a link or a file that stands in its place goes.

    No process may be at work there. Raises ``OSError``.
    """
    if not _is_folder(folder):
        _unlink(folder)
        folder.mkdir(mode=0o700)
    _open_up(folder)


def remove(folder: Path) -> None:
    """Remove ``folder`` and all in it; no process may be at work there. Raises ``OSError``.

    Folders below are moved up before they are emptied, so that no depth is too deep. Of a link in
    its place the link goes, and nothing of where it leads to.
    """
    if not _is_folder(folder):
        _unlink(folder)
        return
    waiting = [folder]
    while waiting:
        each = waiting.pop()
        _open_up(each)
        waiting += list(_empty(each, folder.parent))
        each.rmdir()


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _open_up(folder: Path) -> None:
    _clear_flags(folder)
    folder.chmod(0o700)


def _unlink(path: Path) -> None:
    with suppress(FileNotFoundError):
        _clear_flags(path)
        path.unlink()


def _clear_flags(path: Path) -> None:
    """On macOS an owner may say that a file must not be removed (``chflags(2)``, UF_IMMUTABLE)."""
    if sys.platform == "darwin":
        os.chflags(path, 0, follow_symlinks=False)


def _empty(folder: Path, beside: Path) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                moved = beside / f".{secrets.token_hex(8)}"
                _open_up(Path(entry.path))
                os.rename(entry.path, moved)
                yield moved
            else:
                _unlink(Path(entry.path))


def _size(entry: os.DirEntry[str]) -> int:
    """Without holes, and without what the file system keeps about a file.

    What is taken beyond a file's end counts by half: file systems set as much again aside.
    """
    try:
        found = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return 0
    taken = found.st_blocks * _BLOCK
    return 0 if stat.S_ISDIR(found.st_mode) else max(min(found.st_size, taken), taken // 2)
