"""What this machine computes on, and by which build of the system: by calls and files alone."""

from __future__ import annotations

import ctypes
import platform
import re
import sys
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")


def chip_name() -> str:
    """``Apple M4 Max``; elsewhere the processor's own name, or the architecture."""
    if sys.platform == "darwin":
        return _read_text("machdep.cpu.brand_string") or platform.machine()
    try:
        found = re.search(r"^model name\s*: (.+)$", _CPUINFO.read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1].strip() if found else platform.machine()


def system_build() -> str:
    """``25B78`` on a Mac, which changes with every update; elsewhere the kernel's release."""
    if sys.platform == "darwin":
        return _read_text("kern.osversion") or platform.release()
    return platform.release()


def _read_text(name: str) -> str:
    """A text that the kernel of macOS tells; empty if it does not know it (``sysctl(3)``)."""
    value, size = ctypes.create_string_buffer(256), ctypes.c_size_t(256)
    try:
        call = ctypes.CDLL(None).sysctlbyname
    except AttributeError:  # no such call but on macOS
        return ""
    failed = call(name.encode(), value, ctypes.byref(size), None, ctypes.c_size_t(0))
    return "" if failed else value.value.decode(errors="replace").strip()
