"""How much memory there is for a model, and how much one needs."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from mlxoss.cli.device import ask_device
from mlxoss.errors import ServiceError
from mlxoss.findings import OVERHEAD
from mlxoss.service.subprocess import RunCommand, run_command
from mlxoss.system.memory import machine_bytes

SYSCTL = "/usr/sbin/sysctl"
VM_STAT = "/usr/bin/vm_stat"
MEMINFO = Path("/proc/meminfo")


def memory_limits(run: RunCommand = run_command) -> tuple[int | None, int]:
    """Return what a model may take and all there is, in bytes.

    On a Mac the first is what the GPU can hold at a time. It depends on the Mac, its system and
    ``iogpu.wired_limit_mb``, so MLX is asked; ``None`` where that was not possible.
    """
    total = machine_bytes()
    if sys.platform == "darwin":
        return ask_device(run).limit_bytes, total
    return total, total


def free_bytes(run: RunCommand = run_command) -> int | None:
    """Return what could be taken now, in bytes; ``None`` where that cannot be told."""
    try:
        return parse_meminfo(MEMINFO.read_text())
    except OSError:
        pass
    try:
        return parse_vm_stat(run([VM_STAT], timeout_s=5.0).out)
    except ServiceError:
        return None


def parse_meminfo(text: str) -> int | None:
    """Read Linux's own estimate (``proc(5)``)."""
    found = re.search(r"^MemAvailable:\s+(\d+) kB$", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def parse_vm_stat(text: str) -> int | None:
    """Read macOS's counts of pages: those that are free, or only hold what is elsewhere too."""
    size = re.search(r"page size of (\d+) bytes", text)
    pages = re.findall(r"^Pages (?:free|speculative|purgeable|inactive):\s+(\d+)", text, re.M)
    return int(size[1]) * sum(map(int, pages)) if size and pages else None


def weights_bytes(folder: Path) -> int:
    """Return the size of a checkpoint's weights."""
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))


def has_room_for_two(folder: Path | None) -> bool:
    """Whether the checkpoint in ``folder``, ``None`` for the demo, fits into memory twice.

    It does not where that cannot be told.
    """
    if folder is None:
        return True
    limit, _ = memory_limits()
    return limit is not None and 2 * OVERHEAD * weights_bytes(folder) < limit
