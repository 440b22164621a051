"""Snapshots as files: how they are named, written whole, checked when read, and wiped.

A file is a link: a snapshot's window state, and the runs of its tokens from its parent's end on.
The parent is another link, or nothing. Files are safetensors; their folder is ours alone.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

MAX_AGE_S = 30 * 86400.0
"""What nobody used for so long is not kept."""

MIN_FREE_BYTES = 1 << 30
"""What is left free on the disk, for everything else on the machine."""

_NAME = re.compile(r"([0-9a-f]{32})-([1-9]\d{0,8})-([0-9a-f]{32}|0)\.safetensors")

NOTHING = "0"
"""The parent of a link that begins at the first token."""

Arrays = dict[str, NDArray[Any]]
Expected = Mapping[str, tuple[tuple[int, ...], np.dtype[Any]]]
"""The shape and the type of each array."""


@dataclass(frozen=True, slots=True)
class Link:
    """The snapshot ``key`` of ``length`` tokens, which goes on from ``parent`` or ``NOTHING``."""

    key: str
    length: int
    parent: str

    @property
    def name(self) -> str:
        """The file's name."""
        return f"{self.key}-{self.length}-{self.parent}.safetensors"


@dataclass(frozen=True, slots=True)
class StoredLink:
    """A file that is there; what is in it is not known yet."""

    link: Link
    nbytes: int


def make_keys(revision: str, ids: Sequence[int], lengths: Iterable[int]) -> Iterator[str]:
    """The keys of the first n of ``ids`` for each n of ``lengths``, which ascend.

    ``revision`` says which model computed them, and has the same length for every model.
    """
    digest = hashlib.blake2b(revision.encode(), digest_size=16)
    tokens = np.asarray(ids, dtype="<i4")
    done = 0
    for length in lengths:
        digest.update(tokens[done:length].tobytes())
        done = length
        yield digest.hexdigest()


def write_link(folder: Path, link: Link, arrays: Arrays) -> None:
    """Write a file that is there whole or not at all. Raises ``OSError``, the disk's being full
    or all but full included."""
    size = sum(array.nbytes for array in arrays.values())
    if shutil.disk_usage(folder).free - size < MIN_FREE_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    temporary = folder / f"{link.name}.part"
    try:
        save_file(arrays, temporary, metadata={"digest": _digest(link, arrays)})
        temporary.chmod(0o600)
        temporary.replace(folder / link.name)
    except SafetensorError as error:
        raise OSError(str(error)) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def read_link(folder: Path, link: Link, expected: Expected) -> Arrays:
    """What ``write_link`` wrote. Raises ``ValueError`` for a file that is anything else."""
    try:
        with safe_open(folder / link.name, framework="numpy") as file:
            if set(file.keys()) != set(expected):
                raise ValueError("it holds other arrays")
            # Shapes before contents: memory is taken only for what is wanted.
            for name, (shape, _) in expected.items():
                if tuple(file.get_slice(name).get_shape()) != shape:
                    raise ValueError(f"{name} has another shape")
            arrays = {name: file.get_tensor(name) for name in expected}
            digest = (file.metadata() or {}).get("digest")
    except (OSError, SafetensorError, TypeError, KeyError) as error:
        raise ValueError(f"it cannot be read ({error})") from error
    if any(arrays[name].dtype != dtype for name, (_, dtype) in expected.items()):
        raise ValueError("an array has another type")
    if digest != _digest(link, arrays):
        raise ValueError("its checksum is wrong")
    return arrays


def scan(folder: Path, now: float) -> list[StoredLink]:
    """The links in ``folder``, the least recently used first; ``now`` is a Unix time in seconds.

    Removes all other files and those that are too old. Raises ``OSError`` if the folder cannot be
    read.
    """
    found: list[tuple[float, StoredLink]] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                continue
            match = _NAME.fullmatch(entry.name)
            stat = entry.stat(follow_symlinks=False)
            is_ours = match is not None and entry.is_file(follow_symlinks=False)
            if match is None or not is_ours or stat.st_mtime < now - MAX_AGE_S:
                with suppress(OSError):
                    _remove(Path(entry.path))
                continue
            link = Link(match[1], int(match[2]), match[3])
            found.append((stat.st_mtime, StoredLink(link, stat.st_size)))
    return [stored for _, stored in sorted(found, key=lambda item: item[0])]


def wipe(folder: Path) -> int:
    """Remove every file in ``folder``, which need not exist; the bytes that they took.

    Raises ``OSError``.
    """
    if not folder.is_dir():
        return 0
    return sum(_remove(file) for file in folder.iterdir() if not file.is_dir())


def _remove(file: Path) -> int:
    try:
        size = file.lstat().st_size
        file.unlink()
    except FileNotFoundError:
        return 0
    return size


def _digest(link: Link, arrays: Arrays) -> str:
    """Over all that is in the file, and its name."""
    digest = hashlib.sha256(link.name.encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f" {name} {array.dtype.str} {array.shape} ".encode())
        digest.update(np.ascontiguousarray(array).data.cast("B"))
    return digest.hexdigest()
