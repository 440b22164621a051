"""The filter of system calls: a program for the kernel's BPF machine, and how it is put in force.

Classic BPF over ``struct seccomp_data`` (``linux/seccomp.h``): nr at 0, arch at 4, arguments from
16 on, eight bytes each. It looks at their low halves where the kernel's parameters are ints.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterable, Iterator, Sequence

from mlxoss.hosted.python.worker.syscalls import (
    ALLOWED,
    BY_ARGUMENT,
    PRETENDED,
    REFUSED,
    UNSUPPORTED,
)

MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""The column of the tables, and AUDIT_ARCH (``linux/audit.h``)."""

_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
_NUMBER, _ARCH = 0, 4
_KILL, _ALLOW, _ERRNO = 0x80000000, 0x7FFF0000, 0x00050000
_CLONE_FILES, _CLONE_THREAD = 0x00000400, 0x00010000
_AF_UNIX = 1

_FCNTL = (0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030, 1032, 1034)
"""Duplicates, flags, locks. Not F_SETOWN, F_SETSIG: a signal for another process (``fcntl.h``)."""

_IOCTL = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
"""TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX (``asm-generic/ioctls.h``)."""

_PRCTL = (15, 16, 0x53564D41)
"""PR_SET_NAME, PR_GET_NAME, PR_SET_VMA (``linux/prctl.h``)."""

_CLOSE_RANGE = (0, 4)
"""CLOSE_RANGE_CLOEXEC. Not _UNSHARE: a table of files for each thread would be as many times the
files, pipes and sockets that a process may have (``linux/close_range.h``)."""

_SOCKET_OPTIONS = (2, 3, 4, 7, 8, 9, 20, 21, 30, 38, 39)
"""SO_REUSEADDR, SO_TYPE, SO_ERROR, the buffers' sizes, SO_KEEPALIVE, time-outs, SO_ACCEPTCONN,
SO_PROTOCOL, SO_DOMAIN. Not SO_ATTACH_FILTER, a program that the kernel would run, nor
SO_PEERPIDFD, a handle on the daemon (``asm-generic/socket.h``)."""

_SET_MODE_FILTER, _TSYNC = 1, 1
_SYS_SECCOMP = {"x86_64": 317, "aarch64": 277}

Step = tuple[int, int, int, int]
"""``struct sock_filter``: code, how many to jump over if true and if not, the constant."""


def make_filter(machine: str, pid: int) -> list[Step]:
    """The program for ``machine``, one of ``MACHINES``, in the process ``pid``."""
    column, arch = MACHINES[machine]
    steps: list[Step] = [
        (_LOAD, 0, 0, _ARCH),
        (_EQUAL, 1, 0, arch),
        (_RETURN, 0, 0, _KILL),  # another machine's calls, such as those of 32 bits
        (_LOAD, 0, 0, _NUMBER),
    ]
    steps += _by_number(ALLOWED, column, _ALLOW)
    for name, numbers in BY_ARGUMENT.items():
        body = list(_looks_at_arguments(name, pid))
        steps += [(_EQUAL, 0, len(body), numbers[column]), *body]
    steps += _by_number(REFUSED, column, _ERRNO | errno.EPERM)
    steps += _by_number(PRETENDED, column, _ERRNO)
    steps += _by_number(UNSUPPORTED, column, _ERRNO | errno.ENOTSUP)
    return [*steps, (_RETURN, 0, 0, _ERRNO | errno.ENOSYS)]


def put_in_force(steps: Sequence[Step]) -> None:
    """Filter all threads of this process, without a way back. Raises ``OSError``."""
    raw = b"".join(struct.pack("=HBBI", *step) for step in steps)
    program = ctypes.create_string_buffer(raw, len(raw))
    head = struct.pack("@HP", len(steps), ctypes.addressof(program))
    libc = ctypes.CDLL(None, use_errno=True)
    number = _SYS_SECCOMP[platform.machine()]
    if libc.syscall(ctypes.c_long(number), _SET_MODE_FILTER, _TSYNC, head) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"seccomp: {os.strerror(code)}")


def _by_number(table: dict[str, tuple[int, int]], column: int, answer: int) -> Iterator[Step]:
    for numbers in table.values():
        if numbers[column] >= 0:
            yield (_EQUAL, 0, 1, numbers[column])
            yield (_RETURN, 0, 0, answer)


def _looks_at_arguments(name: str, pid: int) -> Iterator[Step]:
    if name == "clone":  # a thread, not a process, nor one with a table of files of its own
        yield (_LOAD, 0, 0, _argument(0))
        yield (_ANY_BIT, 0, 2, _CLONE_THREAD)
        yield (_ANY_BIT, 0, 1, _CLONE_FILES)
        yield (_RETURN, 0, 0, _ALLOW)
        yield (_RETURN, 0, 0, _ERRNO | errno.EPERM)
    elif name == "sendto":  # over a connected pair, to no address
        yield (_LOAD, 0, 0, _argument(4))
        yield (_EQUAL, 0, 3, 0)
        yield (_LOAD, 0, 0, _argument(4) + 4)
        yield (_EQUAL, 0, 1, 0)
        yield (_RETURN, 0, 0, _ALLOW)
        yield (_RETURN, 0, 0, _ERRNO | errno.EPERM)
    else:
        place, values = _few(pid)[name]
        yield from _one_of(place, values)


def _few(pid: int) -> dict[str, tuple[int, Iterable[int]]]:
    """By call the argument that is looked at, and which it may be."""
    return {
        "kill": (0, (pid,)),
        "tgkill": (0, (pid,)),
        "prlimit64": (0, (0, pid)),
        "prctl": (0, _PRCTL),
        "fcntl": (1, _FCNTL),
        "ioctl": (1, _IOCTL),
        "socketpair": (0, (_AF_UNIX,)),
        "close_range": (2, _CLOSE_RANGE),
        "getsockopt": (2, _SOCKET_OPTIONS),
        "setsockopt": (2, _SOCKET_OPTIONS),
    }


def _one_of(place: int, values: Iterable[int]) -> Iterator[Step]:
    yield (_LOAD, 0, 0, _argument(place))
    for value in values:
        yield (_EQUAL, 0, 1, value)
        yield (_RETURN, 0, 0, _ALLOW)
    yield (_RETURN, 0, 0, _ERRNO | errno.EPERM)


def _argument(place: int) -> int:
    """Where the low half of an argument stands; both machines are little-endian."""
    return 16 + 8 * place
