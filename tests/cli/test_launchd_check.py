"""What a Mac tries with launchd (``tests/mac/checks/launchd.sh``) holds with its stand-in."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cli.mac import ROOT, Mac

CHECK = ROOT / "tests/mac/checks/launchd.sh"


@pytest.mark.parametrize("mac", ["", "einprogress bare-env"], indirect=True)
def test_every_step_is_right(mac: Mac) -> None:
    done = subprocess.run(
        ["sh", CHECK],
        env=mac.env | {"MLXOSS": str(mac.command), "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "right: uninstall leaves nothing"
    assert [path.name for path in mac.home.iterdir()] == ["Library"]
    assert list((mac.home / "Library/LaunchAgents").iterdir()) == []


def test_without_launchd_nothing_is_touched(tmp_path: Path) -> None:
    env = os.environ | {"HOME": str(tmp_path), "MLXOSS_LAUNCHCTL": "/nonexistent"}
    done = subprocess.run(["sh", CHECK], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 77, done.stderr
    assert list(tmp_path.iterdir()) == []
