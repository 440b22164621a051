"""A client that ``mlxoss connect`` or ``mlxoss launch`` set up, in a home of its own."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.clients.conftest import QUIET
from tests.clients.install import bin_of
from tests.support.cli.runner import environment
from tests.support.server.harness import Server

NOTHING_ELSE = {
    "OPENCODE_DISABLE_AUTOUPDATE": "1",
    "OPENCODE_DISABLE_MODELS_FETCH": "1",
    "PI_OFFLINE": "1",
    "PI_TELEMETRY": "0",
    "CLINE_TELEMETRY_DISABLED": "1",
    "OPENCLAW_TELEMETRY_DISABLED": "1",
}
"""What clients would fetch or send elsewhere."""


@dataclass(frozen=True)
class Connected:
    """A home folder, the programs of a client, and the server that it is to use."""

    home: Path
    programs: Path
    server: Server

    @property
    def env(self) -> dict[str, str]:
        """Nothing of this environment but where commands are; ``mlxoss`` finds the server."""
        where = environment(self.home, {"MLXOSS_PORT": str(self.server.port)})
        ours = {name: text for name, text in where.items() if name.startswith("MLXOSS_")}
        own = {"HOME": str(self.home), "PATH": bin_of(self.programs), "LANG": "C.UTF-8"}
        return own | QUIET | NOTHING_ELSE | ours

    def mlxoss(self, *words: str) -> str:
        """What a command says; it has to end well."""
        return self.run(sys.executable, "-m", "mlxoss", *words)

    def run(self, *words: str, **env: str) -> str:
        """What a program says on its standard output; it has to end well."""
        done = subprocess.run(
            words, cwd=self.folder, env=self.env | env, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @property
    def folder(self) -> Path:
        """Where it works."""
        folder = self.home / "work"
        folder.mkdir(exist_ok=True)
        return folder


def files(home: Path) -> dict[str, bytes]:
    """All files below ``home``, but mlxoss's own."""
    return {
        str(path.relative_to(home)): path.read_bytes()
        for path in home.rglob("*")
        if path.is_file() and "mlxoss" not in path.relative_to(home).parts[:1]
    }
