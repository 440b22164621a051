"""A test that fails with something open fails alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SUITE = """
import gc, socket

def test_that_fails():
    left = socket.socket()
    itself = [left]
    itself.append(itself)
    assert not left

def test_that_passes():
    gc.collect()
"""


def run_suite(folder: Path, plugin: str) -> str:
    """The last line that pytest prints about ``SUITE``, under this project's settings."""
    suite = folder / "test_suite.py"
    suite.write_text(SUITE)
    words = ["-m", "pytest", "-n0", "-q", "-c", "pyproject.toml", "-p", plugin]
    done = subprocess.run(
        [sys.executable, *words, f"--rootdir={folder}", str(suite)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("plugin", "ends"), [("tests.support.leftovers", "1 failed, 1 passed"), ("no:none", "2 failed")]
)
def test_what_a_failed_test_left_open_fails_no_other(
    tmp_path: Path, plugin: str, ends: str
) -> None:
    assert run_suite(tmp_path, plugin).startswith(ends)
