"""Runs ``mlxoss`` as a user does: as a process of its own, with folders of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path


def environment(home: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment with every folder that mlxoss writes to under ``home``."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("MLXOSS_", "HF_"))}
    own = {"MLXOSS_HOME": str(home / "mlxoss"), "HF_HOME": str(home / "hf")}
    if sys.platform == "darwin":  # where a command would ask, and change, the user's own launchd
        own |= {"HOME": str(home), "MLXOSS_LAUNCHCTL": shutil.which("false") or ""}
    return inherited | own | dict(extra or {})


def mlxoss(
    home: Path,
    *arguments: str,
    env: Mapping[str, str] | None = None,
    stdin: bytes | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run ``mlxoss`` with ``arguments`` to its end."""
    done = subprocess.run(
        [sys.executable, "-m", "mlxoss", *arguments],
        env=environment(home, env),
        input=stdin or b"",
        capture_output=True,
        timeout=300,
        check=False,
    )
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
    )
