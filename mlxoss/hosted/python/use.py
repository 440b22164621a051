"""What a process has used, as the kernel tells of it: what a watchdog asks while a cell runs."""

from __future__ import annotations

import ctypes
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from mlxoss.hosted.python.limits import Limits
from mlxoss.system.memory import held_bytes

_LIBPROC = "/usr/lib/libproc.dylib"
_RUSAGE_V2_WORDS, _WRITTEN = 20, 19
"""``rusage_info_v2`` in words of 8 bytes, and ``ri_diskio_byteswritten`` (``sys/resource.h``)."""
_TASK_FLAVOR, _TASK_BYTES = 4, 96
_TASK_USER, _TASK_SYSTEM, _TASK_THREADS = 2, 3, 21
"""``proc_taskinfo`` (``sys/proc_info.h``): times are 8 bytes long, in ticks, threads 4."""


@dataclass(frozen=True, slots=True)
class ProcessUse:
    """Since the process began."""

    cpu_s: float
    threads: int
    written: int
    memory: int


def read_use(pid: int, platform: str = sys.platform) -> ProcessUse | None:
    """What ``pid`` has used; ``None`` once it has ended, or if the kernel does not tell."""
    told = _on_mac(pid) if platform == "darwin" else _on_linux(pid)
    memory = held_bytes(pid)
    if told is None or memory is None:
        return None
    return ProcessUse(*told, memory)


def find_breach(now: ProcessUse, before: ProcessUse, limits: Limits) -> str | None:
    """What went beyond its bound, as the end of a sentence; ``before`` was at the cell's start."""
    if now.memory > limits.memory:
        return f"it used more than {limits.memory >> 20} MB of memory"
    if now.cpu_s - before.cpu_s > limits.cpu_s:
        return f"it used more than {limits.cpu_s:g} s of processor time"
    if now.threads > limits.threads:
        return f"it had more than {limits.threads} threads"
    if now.written > limits.written:
        return f"it wrote more than {limits.written >> 20} MB to the disk"
    return None


def _on_linux(pid: int) -> tuple[float, int, int] | None:
    folder = Path("/proc", str(pid))
    try:
        # Behind the name, which may hold anything: fields 3 on of proc(5).
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        lines = (folder / "io").read_text().splitlines()
        written = dict(line.split(": ") for line in lines)["write_bytes"]
        ticks = int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK"), int(fields[17]), int(written)
    except (OSError, ValueError, IndexError, KeyError):
        return None


def _on_mac(pid: int) -> tuple[float, int, int] | None:
    try:
        libproc = ctypes.CDLL(_LIBPROC)
    except OSError:
        return None
    usage = (ctypes.c_uint64 * _RUSAGE_V2_WORDS)()
    task = (ctypes.c_uint32 * (_TASK_BYTES // 4))()
    got = libproc.proc_pidinfo(
        pid, _TASK_FLAVOR, ctypes.c_uint64(0), ctypes.byref(task), _TASK_BYTES
    )
    if got != _TASK_BYTES or libproc.proc_pid_rusage(pid, 2, ctypes.byref(usage)) != 0:
        return None
    times = ctypes.cast(task, ctypes.POINTER(ctypes.c_uint64))
    ticks = times[_TASK_USER] + times[_TASK_SYSTEM]
    return ticks * _tick_s(), task[_TASK_THREADS], usage[_WRITTEN]


def _tick_s() -> float:
    """Seconds of one tick of Mach's clock: 1 ns on Intel, 125/3 ns on Apple Silicon."""
    ratio = (ctypes.c_uint32 * 2)()
    ctypes.CDLL(None).mach_timebase_info(ctypes.byref(ratio))
    return float(ratio[0] / ratio[1] / 1e9)
