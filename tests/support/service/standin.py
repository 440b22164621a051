"""A launchd of one's own: the stand-in that lies beside the checkout, copied in and wrapped.

It supervises real processes. The wrapper is a ``launchctl`` that needs no variables of its
caller.
"""

from __future__ import annotations

import os
import py_compile
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ORIGINAL = Path(__file__).parents[4] / "shared" / "launchctl"
QUIRKS = (
    *("", "no-gui", "rich-errors", "einprogress", "kickstart-sigterm"),
    *("throttle-kickstart", "bare-env"),
)
# A life takes some forty commands: compiled, and without the one import that only the
# supervisor needs, each takes half the time.
_CLIENT = """
import runpy, sys, types
sys.modules["asyncio"] = types.ModuleType("asyncio")
sys.argv = sys.argv[1:]
sys.path.insert(0, sys.argv[0].rpartition("/")[0])
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def missing() -> str | None:
    """Why there can be no stand-in here."""
    if not (ORIGINAL / "launchctl").exists():
        return "there is no stand-in for launchctl beside the checkout"
    return None if Path("/proc/self").exists() else "the stand-in for launchctl needs Linux"


class StandIn:
    """One launchd. ``home`` is what its jobs get as HOME."""

    def __init__(self, root: Path, home: Path, quirks: str = "") -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        for name in ("launchctl", "jobplist.py"):
            shutil.copy(ORIGINAL / name, root)
        py_compile.compile(str(root / "launchctl"), cfile=str(root / "launchctl.pyc"), doraise=True)
        (root / "client.py").write_text(_CLIENT)
        self.set_quirks(quirks)
        self.command = root / "wrapper"
        self.command.write_text(self._wrapper(home))
        self.command.chmod(0o755)

    def _wrapper(self, home: Path) -> str:
        quoted = shlex.quote(str(self.root))
        return "\n".join(
            [
                "#!/bin/sh",
                f"export MLXOSS_FAKE_LAUNCHD_DIR={quoted}/state",
                "export MLXOSS_FAKE_LAUNCHD_SCALE=0.05",
                f"export MLXOSS_FAKE_LAUNCHD_OWNER={os.getpid()}",
                f"export MLXOSS_FAKE_LAUNCHD_HOME={shlex.quote(str(home))}",
                f"export MLXOSS_FAKE_LAUNCHD_QUIRKS=$(cat {quoted}/quirks)",
                f'exec {sys.executable} -S -E {quoted}/client.py {quoted}/launchctl.pyc "$@"',
                "",
            ]
        )

    def set_quirks(self, quirks: str) -> None:
        (self.root / "quirks").write_text(quirks)

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.command, *arguments], capture_output=True, text=True, timeout=120, check=False
        )
