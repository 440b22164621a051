"""Runs ``mlxoss`` as a user does: as a process of its own, with folders of its own."""

from __future__ import annotations

import contextlib
import os
import pty
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


def on_a_terminal(home: Path, arguments: list[str], env: Mapping[str, str]) -> str:
    """What ``mlxoss`` shows on a terminal of its own, where it ends well."""
    own, its = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "mlxoss", *arguments],
        env=environment(home, env),
        stdin=its,
        stdout=its,
        stderr=its,
    )
    os.close(its)
    shown = b""
    with contextlib.suppress(OSError):  # Linux ends a terminal with EIO
        while piece := os.read(own, 4096):
            shown += piece
    os.close(own)
    assert process.wait(300) == 0
    return shown.decode().replace("\r\n", "\n")
