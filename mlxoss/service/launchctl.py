"""What ``launchctl`` says, read defensively: it calls its own output no interface at all.

So exit codes decide first. The texts and codes are those of macOS 10.15 to 26.
"""

from __future__ import annotations

import re
from enum import IntEnum

from mlxoss.service.job import Job, JobState

_TOP_LEVEL = re.compile(r"^\t(\w[\w ]*?) = (.*)$", re.MULTILINE)
_DISABLED_ROW = re.compile(r'^\s*"(?P<label>[^"]+)" => (?P<value>\w+)$', re.MULTILINE)
_STATES = {
    "running": JobState.RUNNING,
    "spawning": JobState.STARTING,
    "spawn scheduled": JobState.WAITING,
    "SIGTERMed": JobState.STOPPING,
    "SIGKILLed": JobState.STOPPING,
}


class Code(IntEnum):
    """Exit statuses of ``launchctl``.

    ``IO`` covers for a plain user what root is told apart: already there, still going,
    disabled, bad owner or mode, bad or missing file.
    """

    OK = 0
    NO_PROCESS = 3
    IO = 5
    IN_PROGRESS = 36
    ALREADY = 37
    NO_DOMAIN = 112
    NOT_FOUND = 113
    DISABLED = 119
    BAD_MODE = 122
    UNSUPPORTED = 125


def parse_print(text: str, *, where: str) -> Job:
    """Read ``launchctl print SERVICE``. Nested blocks repeat keys, so only one tab counts."""
    said: dict[str, str] = {}
    for key, value in _TOP_LEVEL.findall(text):
        said.setdefault(key, value.strip())
    pid = _number(said.get("pid"))
    state = _STATES.get(said.get("state", ""), JobState.ENDED)
    if pid is not None and state is JobState.ENDED:
        state = JobState.RUNNING
    last = said.get("last exit code", "(never exited)")
    ended = None if last.startswith("(") else last
    return Job(
        state=state,
        pid=pid,
        runs=_number(said.get("runs")) or 0,
        last_exit=said.get("last terminating signal", ended),
        last_code=_number(ended),
        definition=said.get("path"),
        program=said.get("program"),
        log=said.get("stderr path"),
        folder=said.get("working directory"),
        where=where,
        priority=said.get("spawn type"),
    )


def parse_disabled(text: str, label: str) -> bool:
    """Read ``launchctl print-disabled DOMAIN``: ``disabled`` today, ``true`` on older systems."""
    rows = {row["label"]: row["value"] for row in _DISABLED_ROW.finditer(text)}
    return rows.get(label) in ("disabled", "true")


def _number(text: str | None) -> int | None:
    found = re.match(r"-?\d+", text or "")
    return int(found[0]) if found else None
