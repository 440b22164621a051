"""The service as a launchd property list. Keys: ``launchd/README.md``."""

from __future__ import annotations

import plistlib
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError

from mlxoss.service.spec import Definition, ServiceSpec

HOMEBREW_SESSIONS = {"Aqua", "Background", "LoginWindow", "StandardIO", "System"}
"""``brew services`` always writes all five (Homebrew's ``service.rb``); we write two."""


def plist_path(home: Path, label: str) -> Path:
    """Return where a user's agent of that label lives."""
    return home / "Library" / "LaunchAgents" / f"{label}.plist"


def render_plist(spec: ServiceSpec) -> bytes:
    """Return the property list (XML, sorted keys): equal specs give equal bytes."""
    keys: dict[str, Any] = {
        "Label": spec.label,
        "ProgramArguments": [str(spec.program), *spec.arguments],
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ProcessType": "Interactive",
        "ExitTimeOut": spec.exit_timeout_s,
        "WorkingDirectory": str(spec.working_directory),
        "StandardOutPath": str(spec.log_file),
        "StandardErrorPath": str(spec.log_file),
        "SoftResourceLimits": {"NumberOfFiles": spec.open_files},
        "LimitLoadToSessionType": ["Aqua", "Background"],
        "Umask": spec.umask,
        "EnvironmentVariables": dict(spec.environment),
    }
    return plistlib.dumps(keys, sort_keys=True)


def read_plist(data: bytes) -> Definition | None:
    """Return what a property list of ours or of Homebrew's says; ``None`` if it is neither."""
    try:
        keys = plistlib.loads(data)
        program, *arguments = keys["ProgramArguments"]
        sessions = keys.get("LimitLoadToSessionType", [])
        return Definition(
            program=str(program),
            arguments=tuple(map(str, arguments)),
            environment={str(k): str(v) for k, v in keys.get("EnvironmentVariables", {}).items()},
            homebrew=set(sessions) >= HOMEBREW_SESSIONS,
        )
    except (ValueError, KeyError, TypeError, AttributeError, ExpatError):
        return None
