"""How much memory MLX may use, and for what."""

from __future__ import annotations

import os

import mlx.core as mx

_HOST_SHARE = 0.75
_SPARE_SHARE = 0.25
_REUSE_SHARE = 0.125
_MOST_REUSE_BYTES = 1 << 30


def budget_bytes() -> int:
    """What the device can hold at a time.

    Metal's recommended working set; without Metal three quarters of the machine's memory.
    """
    recommended = mx.device_info().get("max_recommended_working_set_size")
    if recommended is not None:
        return int(recommended)
    return int(_HOST_SHARE * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def spare_bytes() -> int:
    """What the prefix cache may take by default, once the model is loaded.

    A quarter of what is left beside it; the rest is for the sequences that run.
    """
    return int(_SPARE_SHARE * max(0, budget_bytes() - mx.get_active_memory()))


def limit_reuse() -> None:
    """Bound what MLX keeps of freed memory for reuse, for the whole process.

    By default it may keep as much as the device can hold, which other programs would miss.
    """
    mx.set_cache_limit(min(_MOST_REUSE_BYTES, int(_REUSE_SHARE * budget_bytes())))
