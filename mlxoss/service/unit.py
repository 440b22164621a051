"""The service as a systemd user unit, and what ``systemctl show`` says of it.

Quoting: ``systemd.syntax(7)``, ``systemd.service(5)`` (Command Lines), ``systemd.unit(5)``
(Specifiers).
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from mlxoss.service.job import Absent, Found, Job, JobState
from mlxoss.service.spec import ABOUT, Definition, ServiceSpec

UNIT = "mlxoss.service"
SHOWN = (
    *("LoadState", "ActiveState", "SubState", "MainPID", "NRestarts", "FragmentPath"),
    *("ExecMainCode", "ExecMainStatus", "ExecMainStartTimestampMonotonic"),
)
"""The properties that ``parse_show`` reads."""

_KILLED = {2, 3}
"""``ExecMainCode`` of a process that a signal ended: ``CLD_KILLED``, ``CLD_DUMPED``."""

_STATES = {
    "active": JobState.RUNNING,
    "activating": JobState.STARTING,
    "deactivating": JobState.STOPPING,
}


def render_unit(spec: ServiceSpec) -> str:
    """Return the unit's text. It restarts on the exits that launchd would restart on."""
    command = " ".join(_quoted(part, "$") for part in (str(spec.program), *spec.arguments))
    environment = [f"Environment={_quoted(f'{k}={v}')}" for k, v in spec.environment.items()]
    lines = [
        "[Unit]",
        f"Description=mlxoss: {ABOUT}",
        "",
        "[Service]",
        "Type=exec",
        f"ExecStart={command}",
        f"WorkingDirectory={_path(spec.working_directory)}",
        *environment,
        "Restart=on-failure",
        "RestartSec=10",
        f"TimeoutStopSec={spec.exit_timeout_s}",
        f"LimitNOFILE={spec.open_files}",
        f"UMask={spec.umask:04o}",
        f"StandardOutput=append:{_path(spec.log_file)}",
        f"StandardError=append:{_path(spec.log_file)}",
        "",
        "[Install]",
        "WantedBy=default.target",
        "",
    ]
    return "\n".join(lines)


def read_unit(data: bytes) -> Definition | None:
    """Return what a unit that ``render_unit`` wrote says; ``None`` if it is none."""
    text = data.decode(errors="replace")
    command = re.search(r"^ExecStart=(.+)$", text, re.MULTILINE)
    if command is None:
        return None
    try:
        program, *arguments = (part.replace("$$", "$") for part in _words(command[1]))
        settings = [_words(line)[0] for line in re.findall(r"^Environment=(.+)$", text, re.M)]
    except (ValueError, IndexError):
        return None
    environment = dict(entry.split("=", 1) for entry in settings if "=" in entry)
    return Definition(program, tuple(arguments), environment)


def parse_show(text: str) -> Found:
    """Read ``systemctl --user show --property=...``: one ``Key=value`` a line."""
    said = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    if said.get("LoadState") != "loaded":
        return Absent()
    state = _STATES.get(said.get("ActiveState", ""), JobState.ENDED)
    if said.get("SubState") == "auto-restart":
        state = JobState.WAITING
    pid = int(said.get("MainPID") or 0) or None
    code, status = int(said.get("ExecMainCode") or 0), int(said.get("ExecMainStatus") or 0)
    ended = None if pid or not code else f"signal {status}" if code in _KILLED else str(status)
    started = int(said.get("ExecMainStartTimestampMonotonic") or 0) > 0
    return Job(
        state=state,
        pid=pid,
        runs=int(said.get("NRestarts") or 0) + started,
        last_exit=ended,
        last_code=status if ended and code not in _KILLED else None,
        definition=said.get("FragmentPath") or None,
        where="systemd --user",
    )


def _words(text: str) -> list[str]:
    return [word.replace("%%", "%") for word in shlex.split(text)]


def _path(path: Path) -> str:
    """A path takes specifiers but no quotes; it goes to the end of the line."""
    return str(path).replace("%", "%%")


def _quoted(text: str, doubled: str = "") -> str:
    """Quote one word; ``$`` is doubled in commands only, ``%`` everywhere."""
    text = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    for mark in "%" + doubled:
        text = text.replace(mark, mark * 2)
    return text if re.fullmatch(r"[\w@%+=:,./$-]+", text) else f'"{text}"'
