"""What MLX counts of this process's memory, read without importing it.

Importing MLX takes time, and who still loads, or never will, does not need it.
"""

from __future__ import annotations

import sys
from typing import Any

from mlxoss.engine.wiring import let_go_bytes, wired_bytes

_LIMIT = "max_recommended_working_set_size"


def read_mlx_memory() -> dict[str, int]:
    """Bytes by name, none before MLX is imported. Any thread: no stream is needed for them.

    ``active_bytes`` are in arrays, ``peak_bytes`` the most that was, ``cache_bytes`` freed but kept
    for reuse. On Metal there are also ``limit_bytes``, what the device can hold at a time, and once
    a model is loaded ``wired_bytes`` of it, which the system must not page out; while these are let
    go for idleness, ``let_go_bytes`` tells how much they were.
    """
    mx: Any = sys.modules.get("mlx.core")
    if mx is None or not hasattr(mx, "get_cache_memory"):  # it is being imported
        return {}
    found = {
        "active_bytes": mx.get_active_memory(),
        "peak_bytes": mx.get_peak_memory(),
        "cache_bytes": mx.get_cache_memory(),
    }
    wired = wired_bytes()
    if wired is not None:
        found |= {"wired_bytes": wired, "limit_bytes": int(mx.device_info()[_LIMIT])}
    if let_go := let_go_bytes():
        found["let_go_bytes"] = let_go
    return found
