"""Which files a process may read and write, by Linux's Landlock (``linux/landlock.h``)."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable
from pathlib import Path

OLDEST_ABI = 3
"""Before it, Linux 6.2, a file that may only be read could be truncated."""

_CREATE, _ADD, _RESTRICT = 444, 445, 446
_VERSION = 1
_O_PATH = 0o10000000
_PATH_BENEATH = 1

_WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 1, 1 << 2, 1 << 3
_REMOVE_DIR, _REMOVE_FILE = 1 << 4, 1 << 5
_MAKE_DIR, _MAKE_REG = 1 << 7, 1 << 8
_REFER, _TRUNCATE = 1 << 13, 1 << 14

_READ = _READ_FILE | _READ_DIR
_OWN = _READ | _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _REFER | _TRUNCATE
_OF_FILES = _READ_FILE | _WRITE_FILE | _TRUNCATE

_FILE_RIGHTS = (1 << 15) - 1
_IOCTL_DEV = 1 << 15
_TCP = 0b11
_SCOPES = 0b11


def find_abi() -> int:
    """The version of Landlock that this kernel has; 0: none."""
    found = _call(_CREATE, None, 0, _VERSION)
    return max(int(found), 0)


def confine(readable: Iterable[Path], own: Iterable[Path], devices: Iterable[Path]) -> None:
    """Let this process read ``readable``, and write in ``own`` and to ``devices``, alone.

    Also without TCP, and with signals and abstract sockets only inside, where the kernel knows
    these. Files that are open stay open. What does not exist is passed over. Raises ``OSError``.
    """
    abi = find_abi()
    if abi < OLDEST_ABI:
        has = f"has version {abi} of Landlock" if abi else "has no Landlock"
        raise OSError(f"the kernel {has}; version {OLDEST_ABI} (Linux 6.2) is needed")
    attributes = _attributes(abi)
    rules = _checked(_call(_CREATE, attributes, len(attributes), 0))
    try:
        for paths, rights in (readable, _READ), (own, _OWN), (devices, _READ_FILE | _WRITE_FILE):
            for path in paths:
                _add(rules, path, rights)
        _checked(_call(_RESTRICT, rules, 0))
    finally:
        os.close(rules)


def _attributes(abi: int) -> bytes:
    files = _FILE_RIGHTS | (_IOCTL_DEV if abi >= 5 else 0)
    fields = [files]
    if abi >= 4:
        fields.append(_TCP)
    if abi >= 6:
        fields.append(_SCOPES)
    return struct.pack(f"={len(fields)}Q", *fields)


def _add(rules: int, path: Path, rights: int) -> None:
    try:
        descriptor = os.open(path, _O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        held = rights if path.is_dir() else rights & _OF_FILES
        rule = struct.pack("=Qi", held, descriptor)
        _checked(_call(_ADD, rules, _PATH_BENEATH, rule, 0))
    finally:
        os.close(descriptor)


def _call(number: int, *arguments: object) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    given = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    return int(libc.syscall(ctypes.c_long(number), *given))


def _checked(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"Landlock: {os.strerror(code)}")
    return result
