from __future__ import annotations

import dataclasses
import shutil
import subprocess
from pathlib import Path

import pytest

from mlxoss.service.job import Absent, Job, JobState
from mlxoss.service.spec import ServiceSpec, make_environment
from mlxoss.service.unit import UNIT, parse_show, read_unit, render_unit

GOLDEN = Path(__file__).parents[1] / "golden" / UNIT
PROGRAM = Path("/home/you/.local/bin/mlxoss")
DEFAULT = ServiceSpec(
    program=PROGRAM,
    working_directory=Path("/home/you/.local/share/mlxoss"),
    log_file=Path("/home/you/.local/state/mlxoss/log/service.log"),
    environment=make_environment(PROGRAM, {"HF_HOME": "/data/50% of it/hub"}),
)


def test_the_golden_unit() -> None:
    assert render_unit(DEFAULT) == GOLDEN.read_text()


@pytest.mark.parametrize(
    "text", ["plain", "sp ace", 'quo"te', "back\\slash", "$HOME", "50%", "%%h", "it's", "a=b"]
)
def test_any_text_survives(text: str) -> None:
    spec = dataclasses.replace(
        DEFAULT, program=Path("/opt", text, "mlxoss"), environment={"A": text}
    )
    found = read_unit(render_unit(spec).encode())
    assert found is not None
    assert (found.program, found.arguments) == (str(spec.program), ("serve",))
    assert found.environment == {"A": text}


@pytest.mark.parametrize("data", [b"", b"[Unit]\n", b'ExecStart="open\n', b"\xff\xfe"])
def test_what_is_no_unit_is_said_to_be_none(data: bytes) -> None:
    assert read_unit(data) is None


def test_systemd_finds_nothing_wrong(tmp_path: Path, short_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("there is no systemd-analyze here")
    spec = dataclasses.replace(
        DEFAULT,
        program=Path("/bin/true"),
        working_directory=tmp_path,
        environment={"A": 'sp ace "quoted" 50% $HOME', "B": "2"},
    )
    path = tmp_path / UNIT
    path.write_text(render_unit(spec))
    done = subprocess.run(
        [analyze, "verify", "--user", "--man=no", str(path)],
        capture_output=True,
        text=True,
        timeout=120,
        env={"XDG_RUNTIME_DIR": str(short_path), "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def show(**values: str) -> str:
    return "".join(f"{key}={value}\n" for key, value in {"LoadState": "loaded", **values}.items())


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("LoadState=not-found\nActiveState=inactive\n", Absent()),
        ("", Absent()),
        (
            show(ActiveState="active", SubState="running", MainPID="7", NRestarts="2"),
            Job(JobState.RUNNING, pid=7, runs=2),
        ),
        (
            show(ActiveState="activating", SubState="auto-restart", MainPID="0", ExecMainCode="1",
                 ExecMainStatus="3"),
            Job(JobState.WAITING, last_exit="3", last_code=3),
        ),
        (
            show(ActiveState="failed", ExecMainCode="2", ExecMainStatus="9"),
            Job(JobState.ENDED, last_exit="signal 9"),
        ),
        (
            show(ActiveState="inactive", ExecMainCode="1", ExecMainStatus="0",
                 ExecMainStartTimestampMonotonic="99"),
            Job(JobState.ENDED, runs=1, last_exit="0", last_code=0),
        ),
        (show(ActiveState="deactivating", MainPID="7"), Job(JobState.STOPPING, pid=7)),
    ],
)  # fmt: skip
def test_what_systemctl_shows(text: str, found: Job | Absent) -> None:
    if isinstance(found, Job):
        found = dataclasses.replace(found, where="systemd --user")
    assert parse_show(text) == found
