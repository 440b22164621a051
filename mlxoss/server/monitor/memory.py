"""What the process holds in memory, told without waiting for the engine."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path
from typing import Any

_STATM = Path("/proc/self/statm")
_LIBPROC = "/usr/lib/libproc.dylib"
_RESIDENT = 6
"""Where ``ri_resident_size`` is among the 8-byte fields after the UUID in ``rusage_info_v0``
(``sys/resource.h``)."""


def read_memory(*, model_is_loaded: bool) -> dict[str, int]:
    """Sizes in bytes for the ``memory`` object of ``/health``. Any thread, microseconds.

    ``process_bytes`` is resident memory (of a Mac's GPU memory only a part counts); left out
    where the system does not tell. With the model loaded there are also MLX's own figures:
    ``active_bytes`` (in arrays), ``peak_bytes`` (the most that was) and ``cache_bytes`` (freed
    but kept for reuse). MLX is never imported for it: that takes time, and a server that
    still loads does not need it.
    """
    found = {"process_bytes": _resident_bytes(), **(_mlx_bytes() if model_is_loaded else {})}
    return {name: size for name, size in found.items() if size is not None}


def _mlx_bytes() -> dict[str, int]:
    """The allocator's counters, which need no stream and so may be read from any thread."""
    mx: Any = sys.modules.get("mlx.core")
    if mx is None:
        return {}
    return {
        "active_bytes": mx.get_active_memory(),
        "peak_bytes": mx.get_peak_memory(),
        "cache_bytes": mx.get_cache_memory(),
    }


def _resident_bytes() -> int | None:
    try:
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return _resident_bytes_of_a_mac()


def _resident_bytes_of_a_mac() -> int | None:
    """``proc_pid_rusage`` of libproc, flavour ``RUSAGE_INFO_V0``."""
    try:
        ask = ctypes.CDLL(_LIBPROC).proc_pid_rusage
    except (OSError, AttributeError):
        return None
    uuid_and_fields = (ctypes.c_uint64 * 12)()  # 2 + 10 words: 16 bytes of UUID, 10 fields
    if ask(os.getpid(), 0, ctypes.byref(uuid_and_fields)) != 0:
        return None
    return int(uuid_and_fields[2 + _RESIDENT]) or None
