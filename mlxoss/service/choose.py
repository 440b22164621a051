"""Which service manager this machine has: the only place that looks at the platform."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from mlxoss.errors import ServiceError
from mlxoss.service.launchd import Launchd
from mlxoss.service.subprocess import RunCommand, run_command
from mlxoss.service.supervisor import Supervisor
from mlxoss.service.systemd import Systemd

LAUNCHCTL = "/bin/launchctl"
LAUNCHCTL_VARIABLE = "MLXOSS_LAUNCHCTL"
"""Names another ``launchctl``, and has the launchd way of things used on any system."""


def choose_supervisor(
    platform: str, env: Mapping[str, str], uid: int, home: Path, run: RunCommand = run_command
) -> Supervisor:
    """Return the manager of the user's services.

    ``platform`` is ``sys.platform``. Raises ``ServiceError`` for root (an agent of root's
    would serve nobody's login) and where there is no manager.
    """
    named = env.get(LAUNCHCTL_VARIABLE)
    if named:
        return Launchd(named, uid, home, run=run)
    if uid == 0:
        raise ServiceError(
            "the service belongs to a user, not to root", remedy="Run it without sudo."
        )
    if platform == "darwin":
        return Launchd(LAUNCHCTL, uid, home, run=run)
    systemctl = shutil.which("systemctl", path=env.get("PATH"))
    runtime = env.get("XDG_RUNTIME_DIR")
    if systemctl and runtime and Path(runtime, "systemd", "private").exists():
        config_home = Path(env.get("XDG_CONFIG_HOME") or home / ".config")
        return Systemd(systemctl, config_home, run=run)
    raise ServiceError(
        "there is no service manager here (launchd, or systemd with a user session)",
        remedy="Run `mlxoss serve` in the foreground, or under a supervisor of yours.",
    )
