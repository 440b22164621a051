from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import pytest

from mlxoss.last_exit import (
    FILE_NAME,
    START_ANEW,
    LastExit,
    clear_last_exit,
    read_last_exit,
    write_last_exit,
)
from mlxoss.service.job import Job, JobState
from mlxoss.service.ready import ended

LAST = LastExit("port_taken", "port 8000 is in use", 42, 1_700_000_000.5)


def test_a_reason_comes_back_as_it_was_left(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    write_last_exit(folder, LAST)
    assert read_last_exit(folder) == LAST
    assert stat.S_IMODE((folder / FILE_NAME).stat().st_mode) == 0o600
    assert [entry.name for entry in folder.iterdir()] == [FILE_NAME]
    clear_last_exit(folder)
    assert read_last_exit(folder) is None
    clear_last_exit(folder)


@pytest.mark.parametrize("text", ["", "[]", "{}", "{", '{"code": 1}', "null", "\0"])
def test_a_damaged_file_is_no_reason(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE_NAME).write_text(text)
    assert read_last_exit(tmp_path) is None


def test_an_exit_for_an_upgrade_is_no_crash() -> None:
    job = Job(JobState.WAITING, last_exit=str(START_ANEW), last_code=START_ANEW)
    assert ended(job, None) == "it ended for an upgrade, and will be started anew"
    crashed = ended(replace(job, last_exit="1", last_code=1), None)
    assert crashed == "it crashed (last exit 1, it will be started again)"
