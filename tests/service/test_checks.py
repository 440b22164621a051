from __future__ import annotations

import dataclasses
import socket
from pathlib import Path

import pytest

from mlxoss.errors import ServiceError
from mlxoss.findings import Check, Level
from mlxoss.service.checks import (
    check_definition,
    check_disk,
    check_login,
    check_logs,
    check_memory,
    check_port,
    check_priority,
    check_program,
    check_program_in_use,
    check_rival,
    check_service,
)
from mlxoss.service.health import Answered, Foreign, Refused
from mlxoss.service.job import Absent, Found, Job, JobState
from mlxoss.service.program import Program
from mlxoss.service.spec import Definition
from mlxoss.service.status import ServiceStatus
from tests.support.service.box import free_port

GB = 1_000_000_000
RUNNING = Job(JobState.RUNNING, pid=7, program="/bin/true", priority="interactive (4)")


def status(
    job: Found = RUNNING, *, program: str = "/bin/true", disabled: bool = False
) -> ServiceStatus:
    return ServiceStatus(
        manager="launchd",
        path=Path("/x.plist"),
        definition=Definition(program, ("serve",), {}),
        job=job,
        disabled=disabled,
        health=Answered({"status": "ok"}) if isinstance(job, Job) else Refused("no"),
        last_exit=None,
        concerns=("Why it is so.",),
    )


def level(check: Check) -> Level:
    if check.level in (Level.FAIL,):
        assert check.remedy, check
    return check.level


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (Program(Path("/a")), Level.OK),
        (Program(Path("/a"), warning="doubtful"), Level.WARN),
        (Program(Path("/a"), refusal="no"), Level.FAIL),
        (ServiceError("none", remedy="install"), Level.FAIL),
    ],
)
def test_program(found: Program | ServiceError, expected: Level) -> None:
    assert level(check_program(found)) is expected


@pytest.mark.parametrize(
    ("weights", "expected"),
    [(8 * GB, Level.OK), (15 * GB, Level.WARN), (24 * GB, Level.FAIL)],
)
def test_memory(weights: int, expected: Level) -> None:
    found = check_memory(weights, 16 * GB, 24 * GB)
    assert level(found) is expected
    assert (expected is Level.WARN) == ("iogpu.wired_limit_mb=" in (found.remedy or ""))


def test_port() -> None:
    port = free_port()
    assert level(check_port("127.0.0.1", port, Refused("no"), ours=False)) is Level.OK
    assert level(check_port("127.0.0.1", 0, Refused("no"), ours=False)) is Level.FAIL
    answers = Answered({"status": "ok"})
    with socket.create_server(("127.0.0.1", port)):
        assert level(check_port("127.0.0.1", port, answers, ours=True)) is Level.OK
        found = check_port("127.0.0.1", port, answers, ours=False)
        assert level(found) is Level.FAIL
        assert "another mlxoss" in found.detail
        assert str(port) in (found.remedy or "")
        found = check_port("127.0.0.1", port, Foreign("HTTP 404"), ours=True)
        assert level(found) is Level.FAIL
        assert "HTTP 404" in found.detail


def test_disk(tmp_path: Path) -> None:
    assert level(check_disk(tmp_path, 1)) is Level.OK
    assert level(check_disk(tmp_path, 1 << 60)) is Level.FAIL


def test_definition(tmp_path: Path) -> None:
    path = tmp_path / "x.plist"

    def check(*, homebrew: bool = False) -> Level:
        return level(check_definition(path, b"wanted", homebrew=homebrew))

    assert check() is Level.SKIP
    path.write_bytes(b"wanted")
    path.chmod(0o644)
    assert check() is Level.OK
    path.chmod(0o664)
    assert check() is Level.FAIL
    path.chmod(0o644)
    path.write_bytes(b"other")
    assert check() is Level.WARN
    assert check(homebrew=True) is Level.OK
    link = tmp_path / "link"
    path.rename(link)
    path.symlink_to(link)
    assert check() is Level.FAIL


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        (RUNNING, Level.OK),
        (Absent(), Level.FAIL),
        (dataclasses.replace(RUNNING, state=JobState.ENDED, pid=None), Level.FAIL),
    ],
)
def test_service(job: Found, expected: Level) -> None:
    assert level(check_service(status(job))) is expected


def test_a_service_that_is_not_installed_is_no_failure() -> None:
    nothing = dataclasses.replace(status(Absent()), definition=None)
    for check in (
        check_service,
        check_login,
        lambda s: check_program_in_use(s, Program(Path("/a"))),
    ):
        assert level(check(nothing)) is Level.SKIP


def test_login() -> None:
    assert level(check_login(status())) is Level.OK
    assert "Login Items" in check_login(status()).detail
    assert level(check_login(status(disabled=True))) is Level.FAIL


def test_the_program_in_use() -> None:
    same = Program(Path("/bin/true"))
    assert level(check_program_in_use(status(), same)) is Level.OK
    assert level(check_program_in_use(status(), Program(Path("/bin/false")))) is Level.WARN
    assert level(check_program_in_use(status(program="/no/such"), same)) is Level.FAIL
    stale = dataclasses.replace(RUNNING, program="/old/mlxoss")
    assert level(check_program_in_use(status(stale), same)) is Level.WARN


def test_priority() -> None:
    assert level(check_priority(status())) is Level.OK
    throttled = dataclasses.replace(RUNNING, priority="background (5)")
    assert level(check_priority(status(throttled))) is Level.FAIL
    assert level(check_priority(status(Absent()))) is Level.SKIP


def test_logs(tmp_path: Path) -> None:
    log = tmp_path / "m.log"
    assert level(check_logs([log])) is Level.OK
    with log.open("wb") as file:
        file.truncate(300_000_000)
    assert level(check_logs([log])) is Level.WARN


def test_rival() -> None:
    assert level(check_rival(None)) is Level.OK
    assert level(check_rival("homebrew.mxcl.mlxoss")) is Level.FAIL
