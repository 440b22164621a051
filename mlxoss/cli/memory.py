"""How much memory there is for a model, and how much one needs."""

from __future__ import annotations

import os
from pathlib import Path

from mlxoss.errors import ServiceError
from mlxoss.service.run import Run, run_command

SYSCTL = "/usr/sbin/sysctl"
_SHARE = 0.75
"""Of its memory a Mac lets the GPU hold about three quarters unless told otherwise (two
thirds on small ones)."""


def memory_limits(run: Run = run_command) -> tuple[int, int]:
    """Return what a model may take and all there is, in bytes.

    On a Mac the first is the limit of wired memory that ``iogpu.wired_limit_mb`` sets, or
    the system's own where that is 0.
    """
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        done = run([SYSCTL, "-n", "iogpu.wired_limit_mb"], timeout_s=5.0)
    except ServiceError:
        return total, total
    said = done.out.strip()
    if done.code != 0 or not said.isdigit():
        return total, total
    return int(said) * 1_048_576 or int(total * _SHARE), total


def weights_bytes(folder: Path) -> int:
    """Return the size of a checkpoint's weights."""
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))
