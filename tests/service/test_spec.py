from __future__ import annotations

from pathlib import Path

import pytest

from mlxoss.server.lifecycle import DRAIN_S, LONGEST_STOP_S
from mlxoss.service.spec import LABEL, ServiceSpec, is_supervised, make_environment

PROGRAM = Path("/opt/homebrew/opt/mlxoss/bin/mlxoss")


def test_the_programs_folder_comes_first_on_the_path() -> None:
    made = make_environment(PROGRAM, {"PATH": "/somewhere", "SECRET": "x"})
    assert made == {
        "LANG": "en_US.UTF-8",
        "PATH": "/opt/homebrew/opt/mlxoss/bin:/opt/homebrew/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        "PYTHONUNBUFFERED": "1",
    }


def test_places_and_proxies_are_taken_from_the_shell_but_no_passwords() -> None:
    shell = {"HF_HOME": "/m", "https_proxy": "http://p:1", "HTTP_PROXY": "http://me:pw@p:1"}
    made = make_environment(PROGRAM, shell | {"HF_TOKEN": "hf_x"})
    assert made["HF_HOME"] == "/m"
    assert made["https_proxy"] == "http://p:1"
    assert not {"HTTP_PROXY", "HF_TOKEN"} & made.keys()


def test_an_earlier_choice_stays_until_it_is_changed_or_taken_away() -> None:
    kept = {"HF_HOME": "/old", "A": "1", "PATH": "/stale"}
    assert make_environment(PROGRAM, {}, kept=kept)["HF_HOME"] == "/old"
    assert make_environment(PROGRAM, {"HF_HOME": "/new"}, kept=kept)["HF_HOME"] == "/new"
    made = make_environment(PROGRAM, {}, kept=kept, chosen={"A": "", "B": "2"})
    assert "A" not in made
    assert made["B"] == "2"
    assert "/stale" not in made["PATH"]
    assert make_environment(PROGRAM, {}, chosen={"PATH": "/mine"})["PATH"] == "/mine"


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({"XPC_SERVICE_NAME": LABEL}, True),
        ({"XPC_SERVICE_NAME": "0"}, False),
        ({"XPC_SERVICE_NAME": "application.com.apple.Terminal.1"}, False),
        ({"SYSTEMD_EXEC_PID": "42"}, True),
        ({"SYSTEMD_EXEC_PID": "41"}, False),
        ({}, False),
    ],
)
def test_who_started_this_process(env: dict[str, str], expected: bool) -> None:
    assert is_supervised(env, 42) is expected


def test_the_daemon_has_stopped_before_it_would_be_killed(tmp_path: Path) -> None:
    spec = ServiceSpec(tmp_path / "mlxoss", tmp_path, tmp_path / "log")
    assert DRAIN_S == 25.0
    assert spec.exit_timeout_s - 1.0 >= LONGEST_STOP_S


def test_a_relative_folder_is_meant_from_where_it_was_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service's working folder is another one."""
    monkeypatch.chdir(tmp_path)
    shell = {"MLXOSS_HOME": "own", "HF_HOME": "~/hf", "HF_HUB_CACHE": "/hub", "NO_PROXY": "a.b"}
    made = make_environment(Path("/usr/bin/mlxoss"), shell)
    assert made["MLXOSS_HOME"] == str(tmp_path / "own")
    assert made["HF_HOME"] == "~/hf"
    assert made["HF_HUB_CACHE"] == "/hub"
    assert made["NO_PROXY"] == "a.b"
