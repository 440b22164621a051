"""What the operating system tells of memory: how much there is, and what a process holds.

By calls of the C library and by files alone: no command is run, and nothing slow is imported.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

_PROC = Path("/proc")
_LIBPROC = "/usr/lib/libproc.dylib"
_FOOTPRINT = 7
"""Where ``ri_phys_footprint`` is among the 8-byte fields after the UUID in ``rusage_info_v0``
(``sys/resource.h``); ``ri_resident_size``, the field before it, lacks most of Metal's buffers."""


def machine_bytes() -> int:
    """The machine's memory. Some builds of Python on macOS know no ``SC_PHYS_PAGES``."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return read_sysctl("hw.memsize")


def held_bytes(pid: int) -> int | None:
    """What a process of this user holds; ``None`` where the system does not tell.

    On a Mac its physical footprint, the figure of Activity Monitor, which counts what the GPU uses
    too; elsewhere its resident memory. Microseconds.
    """
    if sys.platform == "darwin":
        return _footprint(pid)
    return _resident(pid)


def _footprint(pid: int) -> int | None:
    """``proc_pid_rusage`` of libproc, flavour ``RUSAGE_INFO_V0``."""
    try:
        ask = ctypes.CDLL(_LIBPROC).proc_pid_rusage
    except (OSError, AttributeError):
        return None
    uuid_and_fields = (ctypes.c_uint64 * 12)()  # 2 + 10 words: 16 bytes of UUID, 10 fields
    if ask(pid, 0, ctypes.byref(uuid_and_fields)) != 0:
        return None
    return int(uuid_and_fields[2 + _FOOTPRINT]) or None


def _resident(pid: int) -> int | None:
    try:
        return int((_PROC / str(pid) / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return None


def read_sysctl(name: str) -> int:
    """A number that the kernel of macOS tells; 0 if it does not know it (``sysctl(3)``)."""
    value, size = ctypes.c_uint64(0), ctypes.c_size_t(8)
    try:
        call = ctypes.CDLL(None).sysctlbyname
    except AttributeError:  # no such call but on macOS
        return 0
    failed = call(name.encode(), ctypes.byref(value), ctypes.byref(size), None, ctypes.c_size_t(0))
    return 0 if failed else value.value
