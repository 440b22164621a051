"""Tries what the sandbox must refuse, before any cell is read: a worker that could do it ends."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import signal
import socket
import sys
from collections.abc import Callable

_REFUSALS = (errno.EPERM, errno.EACCES)
_VARIABLES = (1, 49)
"""CTL_KERN and KERN_PROCARGS2 (``sys/sysctl.h``)."""
_TRANSFER_EXTENTS = 110
"""F_TRANSFEREXTENTS (``sys/fcntl.h``): of -1, which is no file, it changes nothing."""

Tries = tuple[tuple[str, Callable[[], None]], ...]


def find_hole(outside: str, parent: int, system: str = sys.platform) -> str | None:
    """What this process can still do, in words; ``None``: none of it.

    ``outside`` is a file that its user may read and write, beside the private folder; ``parent``
    is the daemon's process.
    """
    every = list_tries(outside, parent, system)
    return next((what for what, attempt in every if not _is_refused(attempt)), None)


def list_tries(outside: str, parent: int, system: str) -> Tries:
    """What is tried on ``system``, in words, and how."""
    tries: Tries = (
        ("read a file outside", lambda: _open(outside, os.O_RDONLY)),
        ("write a file outside", lambda: _open(outside, os.O_WRONLY)),
        ("make a file outside", lambda: _open(f"{outside}.made", os.O_WRONLY | os.O_CREAT)),
        ("list a folder outside", lambda: _list(os.path.dirname(outside))),
        ("connect to an address", _connect),
        ("listen at an address", _listen),
        ("start a process", _fork),
        ("signal another process", lambda: os.kill(parent, 0)),
    )
    on_mac: Tries = (
        ("read the daemon's variables", lambda: _read_variables(parent)),
        ("change a file that it may only read", _change_unwritable),
    )
    return (*tries, *on_mac) if system == "darwin" else tries


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


def _read_variables(pid: int) -> None:
    libc, size = ctypes.CDLL(None, use_errno=True), ctypes.c_size_t(0)
    mib = (ctypes.c_int * 3)(*_VARIABLES, pid)
    if libc.sysctl(mib, 3, None, ctypes.byref(size), None, ctypes.c_size_t(0)) != 0:
        raise OSError(ctypes.get_errno(), "refused")


def _change_unwritable() -> None:
    opened = os.open(os.__file__, os.O_RDONLY)
    try:
        fcntl.fcntl(opened, _TRANSFER_EXTENTS, -1)
    finally:
        os.close(opened)
