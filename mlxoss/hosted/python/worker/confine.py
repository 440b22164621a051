"""Puts this process into its sandbox. Each step raises ``OSError`` or ``ValueError``: all or none.

On macOS the process was begun by ``sandbox-exec``, so only limits are set here.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import signal
import struct
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from mlxoss.hosted.python.worker import landlock, seccomp

_NICE = 5
"""Answers go before cells."""

_SET_PDEATHSIG, _SET_NO_NEW_PRIVS = 1, 38
_CAPABILITY_VERSION = 0x20080522
_SYS_CAPSET = {"x86_64": 126, "aarch64": 91}

Setup = dict[str, Any]
"""What the daemon sends first: ``limits``, ``readable``, ``own``, ``devices``, ``parent``."""


def confine(setup: Setup, system: str = sys.platform) -> None:
    """Do it, without a way back."""
    set_limits(setup["limits"])
    with suppress(OSError):
        os.nice(_NICE)
    if system != "darwin":
        _confine_on_linux(setup)


def set_limits(limits: dict[str, int]) -> None:
    """Set the kernel's own bounds, hard and soft, by the names of ``resource``."""
    for name, bound in limits.items():
        kind = getattr(resource, name)
        _, hard = resource.getrlimit(kind)
        value = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
        resource.setrlimit(kind, (value, value))


def _confine_on_linux(setup: Setup) -> None:
    machine = platform.machine()
    if machine not in seccomp.MACHINES:
        raise OSError(f"there is no filter of system calls for {machine}")
    _prctl(_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != setup["parent"]:
        raise OSError("the daemon has ended")
    _drop_capabilities(machine)
    _prctl(_SET_NO_NEW_PRIVS, 1)
    paths = ([Path(each) for each in setup[name]] for name in ("readable", "own", "devices"))
    landlock.confine(*paths)
    seccomp.put_in_force(seccomp.make_filter(machine, os.getpid()))


def _drop_capabilities(machine: str) -> None:
    """Root is nobody special either (``capset(2)``)."""
    head = struct.pack("=Ii", _CAPABILITY_VERSION, 0)
    _checked(_libc().syscall(ctypes.c_long(_SYS_CAPSET[machine]), head, bytes(24)))


def _prctl(option: int, value: int) -> None:
    longs = (ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0))
    _checked(_libc().prctl(option, *longs))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> None:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
