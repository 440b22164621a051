"""Tries what the sandbox must refuse, before any cell is read: a worker that could do it ends."""

from __future__ import annotations

import errno
import os
import signal
import socket
from collections.abc import Callable

_REFUSALS = (errno.EPERM, errno.EACCES)


def find_hole(outside: str, parent: int) -> str | None:
    """What this process can still do, in words; ``None``: none of it.

    ``outside`` is a file that its user may read and write, beside the private folder; ``parent``
    is the daemon's process.
    """
    tries: tuple[tuple[str, Callable[[], None]], ...] = (
        ("read a file outside", lambda: _open(outside, os.O_RDONLY)),
        ("write a file outside", lambda: _open(outside, os.O_WRONLY)),
        ("make a file outside", lambda: _open(f"{outside}.made", os.O_WRONLY | os.O_CREAT)),
        ("list a folder outside", lambda: _list(os.path.dirname(outside))),
        ("connect to an address", _connect),
        ("listen at an address", _listen),
        ("start a process", _fork),
        ("signal another process", lambda: os.kill(parent, 0)),
    )
    return next((what for what, attempt in tries if not _is_refused(attempt)), None)


def _is_refused(attempt: Callable[[], None]) -> bool:
    try:
        attempt()
    except OSError as error:
        return error.errno in _REFUSALS
    return False


def _open(path: str, flags: int) -> None:
    os.close(os.open(path, flags, 0o600))


def _list(folder: str) -> None:
    os.listdir(folder)


def _connect() -> None:
    with socket.socket() as tried:
        tried.settimeout(1.0)
        tried.connect(("127.0.0.1", 9))  # discard: refused by nobody, if it were reached


def _listen() -> None:
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))


def _fork() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
