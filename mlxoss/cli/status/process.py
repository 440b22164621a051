"""A process's age, as ``ps`` tells it on every system, and its memory."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from mlxoss.errors import ServiceError
from mlxoss.service.subprocess import RunCommand, run_command
from mlxoss.system.memory import held_bytes

_ROW = re.compile(r"\s*(\d+)\s+(?:(?:(\d+)-)?(\d+):)?(\d+):(\d+)\s*")


@dataclass(frozen=True, slots=True)
class Process:
    """What it holds in bytes, as ``held_bytes`` says, and its age in seconds."""

    memory_bytes: int
    age_s: int


def read_process(pid: int, run: RunCommand = run_command) -> Process | None:
    """Ask ``ps``; ``None`` if the process has gone or cannot be seen."""
    try:
        found = parse_ps(run(["ps", "-o", "rss=,etime=", "-p", str(pid)], timeout_s=2.0).out)
    except ServiceError:
        return None
    held = held_bytes(pid)
    return found if found is None or held is None else replace(found, memory_bytes=held)


def parse_ps(text: str) -> Process | None:
    """Read ``RSS ELAPSED``: kilobytes, and ``[[days-]hours:]minutes:seconds``."""
    found = _ROW.fullmatch(text)
    if found is None:
        return None
    kilobytes, days, hours, minutes, seconds = (int(group or 0) for group in found.groups())
    return Process(kilobytes * 1024, ((days * 24 + hours) * 60 + minutes) * 60 + seconds)
