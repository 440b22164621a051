"""A user's machine for the service's commands: a home, a launchd, and the installed command."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from mlxoss.service.plist import plist_path
from mlxoss.service.spec import LABEL
from tests.support.cli.runner import environment
from tests.support.service.box import free_port, is_alive
from tests.support.service.standin import StandIn
from tests.support.waiting import until

ROOT = Path(__file__).parents[3]
# What an installer writes, but for these very sources: a service gets no PYTHONPATH.
_COMMAND = f"""#!{sys.executable}
import sys
sys.path.insert(0, {str(ROOT)!r})
from mlxoss.cli.main import main
sys.exit(main())
"""


class Mac:
    """A user's machine: a home, a launchd, and the installed command."""

    def __init__(self, root: Path, model: Path, quirks: str) -> None:
        self.home = root / "home"
        self.folder = self.home / "mlxoss"
        self.model = model
        self.port = free_port()
        self.home.mkdir()
        self.launchctl = StandIn(root / "launchd", self.home, quirks)
        self.plist = plist_path(self.home, LABEL)
        self.pids: set[int] = set()
        own = {"HOME": str(self.home), "MLXOSS_LAUNCHCTL": str(self.launchctl.command)}
        self.command = root / "bin" / "mlxoss"
        self.command.parent.mkdir()
        self.command.write_text(_COMMAND)
        self.command.chmod(0o755)
        self.env = environment(self.home, own)

    def __call__(
        self, *arguments: str, stdin: str = "", **env: str
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [self.command, *arguments],
            env=self.env | env,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def begin_with(self, lines: str) -> None:
        """Have the command, and so the daemon, begin with ``lines`` from its next start on."""
        shebang, _, rest = _COMMAND.partition("\n")
        self.command.write_text(f"{shebang}\n{lines}\n{rest}")

    def ok(self, *arguments: str, **env: str) -> str:
        done = self(*arguments, **env)
        assert done.returncode == 0, (done.stdout, done.stderr, self.daemon_said())
        return done.stdout

    def install(self, *arguments: str) -> str:
        return self.ok("install", "--model", str(self.model), "--port", str(self.port), *arguments)

    def status(self) -> dict[str, Any]:
        done = self("status", "--json")
        found: dict[str, Any] = json.loads(done.stdout)
        assert found["exit_status"] == done.returncode
        if found["job"] and found["job"]["pid"]:
            self.pids.add(found["job"]["pid"])
        return found

    def loaded(self) -> dict[str, Any]:
        """The status once the model is loaded."""

        def check() -> dict[str, Any] | None:
            found = self.status()
            return found if found["health"] and found["health"]["status"] == "ok" else None

        found = until(check, pause_s=0.3)
        assert found is not None
        return found

    def daemon_said(self) -> str:
        files = sorted((self.folder / "logs").glob("*.log")) if self.folder.exists() else []
        return "\n".join(f"{file.name}: {file.read_text()}" for file in files)

    def config(self) -> dict[str, Any]:
        return tomllib.loads((self.folder / "config" / "config.toml").read_text())

    def close(self) -> None:
        assert self.launchctl("shutdown").returncode == 0
        until(lambda: not any(map(is_alive, self.pids)))
