"""Whether the tool is there: off, without packages, without a sandbox, and when all is well."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlxoss.config import Config
from mlxoss.hosted.python.environment import complete, environment_in
from mlxoss.hosted.python.setup import check_python
from mlxoss.hosted.python.tool import open_python
from mlxoss.hosted.python.worker.proof import find_hole
from tests.support.cli.runner import environment, mlxoss
from tests.support.hosted.cells import Cells

on_linux = pytest.mark.skipif(sys.platform == "darwin", reason="this is Linux's sandbox")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLXOSS_HOME", str(tmp_path / "mlxoss"))
    return tmp_path


def pretend_packages(home: Path) -> None:
    """An environment without packages, for the standard library alone."""
    made = environment_in(home / "mlxoss" / "data")
    made.packages.mkdir(parents=True)
    complete(made, home / "no fonts")


def test_it_is_off_at_first_and_nothing_is_imported(home: Path) -> None:
    assert Config().tool_python == "off"
    assert open_python(Config()) is None
    program = "import sys, mlxoss.daemon.assemble; print(*sys.modules)"
    words = [sys.executable, "-c", program]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert "mlxoss.hosted.python" not in done.stdout
    assert list(home.iterdir()) == []


def test_without_packages_it_is_not_there(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert open_python(Config(tool_python="on")) is None
    assert "mlxoss tools enable python" in caplog.text
    assert {record.levelno for record in caplog.records} == {logging.ERROR}


def test_it_runs_where_it_is_enabled(home: Path, refused: str | None) -> None:
    if refused:
        pytest.skip(refused)
    pretend_packages(home)
    tool = open_python(Config(tool_python="on"))
    assert tool is not None

    async def use() -> str:
        try:
            return (await tool.run("cntr_1", "6 * 7")).text
        finally:
            await tool.close()

    assert asyncio.run(use()) == "42"
    assert list((home / "mlxoss/cache/containers").iterdir()) == []


WITHOUT = """
import ctypes, logging, platform, struct, sys
from mlxoss.config import Config
from mlxoss.hosted.python.tool import open_python
from mlxoss.hosted.python.worker import confine, seccomp
logging.basicConfig()
confine._prctl(38, 1)
number = int(sys.argv[1])
no_such_call, allowed = (6, 0, 0, 0x50026), (6, 0, 0, 0x7FFF0000)
seccomp.put_in_force([(0x20, 0, 0, 0), (0x15, 0, 1, number), no_such_call, allowed])
print(open_python(Config(tool_python="on")))
"""
"""Takes a call away from this process and its children, as an old kernel has none."""


@on_linux
@pytest.mark.parametrize(
    ("call", "why"), [("landlock", "no Landlock"), ("seccomp", "seccomp: Function not implemented")]
)
def test_without_a_sandbox_it_is_not_there(home: Path, call: str, why: str) -> None:
    pretend_packages(home)
    machine = os.uname().machine
    number = {"landlock": 444, "seccomp": 317 if machine == "x86_64" else 277}[call]
    words = [sys.executable, "-c", WITHOUT, str(number)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout == "None\n"
    assert why in done.stderr
    assert list((home / "mlxoss/cache/containers").iterdir()) == []


def test_a_worker_that_is_not_shut_in_finds_it_out(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("x")
    assert find_hole(str(outside), os.getppid()) == "read a file outside"


CHANGES = """
from mlxoss.hosted.python.worker import proof
print(proof._is_refused(proof._change_unwritable))
"""


def test_a_file_that_is_read_would_be_changed_outside(cells: Cells) -> None:
    words = [sys.executable, "-c", CHANGES]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
    said = cells.say("""
        import fcntl, os
        try:
            print("REACHED", fcntl.fcntl(os.open(os.__file__, os.O_RDONLY), 110, 0))
        except PermissionError:
            print("refused")
    """)
    assert said == "refused"


PARTLY = """
import os, sys
from pathlib import Path
from mlxoss.hosted.python.worker import confine, landlock, proof
confine._prctl(38, 1)
own = Path(sys.argv[1])
landlock.confine([Path("/usr"), Path("/lib")], [own / "own"], [])
print(proof.find_hole(str(own / "outside"), os.getppid()))
"""


@on_linux
def test_half_a_sandbox_is_found_out(tmp_path: Path, refused: str | None) -> None:
    if refused:
        pytest.skip(refused)
    (tmp_path / "own").mkdir()
    (tmp_path / "outside").write_text("x")
    words = [sys.executable, "-c", PARTLY, str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.strip() in ("connect to an address", "start a process")


def test_doctor_says_what_keeps_it_from_running(home: Path, refused: str | None) -> None:
    data, cache = home / "mlxoss/data", home / "mlxoss/cache"
    data.mkdir(parents=True)
    assert list(check_python(Config(), data, cache)) == []
    (found,) = check_python(Config(tool_python="on"), data, cache)
    assert (found.level, found.remedy) == ("fail", "mlxoss tools enable python")
    pretend_packages(home)
    (found,) = check_python(Config(tool_python="on"), data, cache)
    assert found.level == ("fail" if refused else "ok")
    environment_in(data).folder.rename(data / "python" / "of another version")
    (found,) = check_python(Config(tool_python="on"), data, cache)
    assert "of another version" in found.detail


def test_tools_are_listed_enabled_and_disabled(tmp_path: Path, refused: str | None) -> None:
    (row,) = (
        each
        for each in json.loads(mlxoss(tmp_path, "tools", "--json").stdout)
        if each["name"] == "python"
    )
    assert row == {"name": "python", "state": "off", "about": "mlxoss tools enable python"}
    assert "python   off" in mlxoss(tmp_path, "tools").stdout
    mlxoss(tmp_path, "config", "set", "tool_python", "on")
    assert "bad  it has no packages yet" in mlxoss(tmp_path, "tools").stdout
    if refused is None:
        pretend_packages(tmp_path)
        assert "python   on   120 s a cell" in mlxoss(tmp_path, "tools").stdout
    done = mlxoss(tmp_path, "tools", "disable", "python")
    assert done.returncode == 0
    assert "python   off" in mlxoss(tmp_path, "tools").stdout
    assert not (tmp_path / "mlxoss/data/python").exists()


def test_an_enabling_that_fails_changes_nothing(tmp_path: Path, refused: str | None) -> None:
    if refused:
        pytest.skip(refused)
    env = environment(tmp_path) | {
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": "",
    }
    done = mlxoss(tmp_path, "tools", "enable", "python", env=env)
    assert done.returncode == 2
    assert "pip failed" in done.stderr
    assert "python   off" in mlxoss(tmp_path, "tools").stdout
    assert not environment_in(tmp_path / "mlxoss/data").is_complete
