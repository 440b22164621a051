"""How much memory there is for a model, and how much one needs."""

from __future__ import annotations

import os
import re
from pathlib import Path

from mlxoss.errors import ServiceError
from mlxoss.findings import OVERHEAD
from mlxoss.service.subprocess import RunCommand, run_command

SYSCTL = "/usr/sbin/sysctl"
VM_STAT = "/usr/bin/vm_stat"
MEMINFO = Path("/proc/meminfo")
_SHARE = 0.75
"""Of its memory a Mac lets the GPU hold about three quarters unless told otherwise (two
thirds on small ones)."""


def memory_limits(run: RunCommand = run_command) -> tuple[int, int]:
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
    """Whether the checkpoint in ``folder``, ``None`` for the demo, fits into memory twice."""
    return folder is None or 2 * OVERHEAD * weights_bytes(folder) < memory_limits()[0]
