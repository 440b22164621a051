"""Idle sleep is held off by a real process, which holds no longer than it is wanted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlxoss.awake import CAFFEINATE, Awake, AwakeState, find_caffeinate
from tests.support.caffeinate import make_caffeinate
from tests.support.waiting import until

_HOLDER = """
import sys, time
from mlxoss.awake import Awake
awake = Awake(sys.argv[1])
awake.want(True)
print("wanted", flush=True)
time.sleep(1000)
"""


def test_it_is_held_while_it_is_wanted_and_no_longer(tmp_path: Path) -> None:
    fake = make_caffeinate(tmp_path)
    awake = Awake(str(fake.command), linger_s=0.0)
    assert awake.to_json() == {"state": "ready"}
    for count in (1, 2):
        awake.want(True)
        until(fake.holders)
        assert awake.state is AwakeState.HELD
        awake.want(False)
        until(lambda: not fake.holders())
        until(lambda: awake.state is AwakeState.READY)
        assert len(fake.starts()) == count
    assert awake.problem() is None
    awake.close()


def test_between_two_turns_of_an_agent_it_stays(tmp_path: Path) -> None:
    fake = make_caffeinate(tmp_path)
    awake = Awake(str(fake.command), linger_s=1000.0)
    awake.want(True)
    until(fake.holders)
    for _ in range(5):
        awake.want(False)
        awake.want(True)
    awake.want(False)
    assert len(fake.starts()) == 1
    assert fake.holders()
    awake.close()
    assert not fake.holders()


def test_a_kill_leaves_nothing_held(tmp_path: Path) -> None:
    fake = make_caffeinate(tmp_path)
    command = [sys.executable, "-c", _HOLDER, str(fake.command)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"wanted\n"
        until(lambda: fake.holders() == [holder.pid])
        holder.send_signal(signal.SIGKILL)
    until(lambda: not fake.holders())


def test_only_idle_sleep_is_held_off_and_for_this_process(tmp_path: Path) -> None:
    fake = make_caffeinate(tmp_path)
    awake = Awake(str(fake.command))
    awake.want(True)
    ((_, arguments),) = until(fake.starts)
    assert arguments[:2] == ["-i", "-w"]  # and not -d, which is the display
    awake.close()


def test_one_that_ends_by_itself_is_told_and_tried_with_the_next_turn(tmp_path: Path) -> None:
    fake = make_caffeinate(tmp_path, is_broken=True)
    awake = Awake(str(fake.command), linger_s=0.0)
    before = time.time()
    awake.want(True)
    until(lambda: awake.state is AwakeState.FAILED)
    problem = awake.problem()
    assert problem is not None
    assert problem.code == "may_sleep"
    assert f"{fake.command} ended (exit status 71)." in problem.message
    assert before <= problem.since <= time.time()
    assert awake.to_json() == {"state": "failed", "error": awake.failure}
    mended = make_caffeinate(tmp_path)

    def is_held() -> bool:
        awake.want(False)
        awake.want(True)
        return bool(mended.holders())

    until(is_held)
    assert awake.state is AwakeState.HELD
    assert awake.problem() is None
    awake.close()


def test_ctrl_c_which_ends_the_child_too_is_nothing_to_tell(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fake = make_caffeinate(tmp_path)
    awake = Awake(str(fake.command))
    awake.want(True)
    ((child, _),) = until(fake.starts)
    os.kill(child, signal.SIGINT)
    until(lambda: not fake.holders())
    awake.close()
    assert caplog.messages == []


def test_a_command_that_is_not_there_is_told(tmp_path: Path) -> None:
    awake = Awake(str(tmp_path / "none"))
    awake.want(True)
    until(lambda: awake.state is AwakeState.FAILED)
    assert awake.failure == f"{tmp_path}/none cannot be run (No such file or directory)"
    awake.close()


def test_where_it_is_off_or_cannot_be_nothing_is_started(tmp_path: Path) -> None:
    fake = make_caffeinate(tmp_path)
    for awake, state in (
        (Awake(str(fake.command), is_on=False), AwakeState.OFF),
        (Awake(None), AwakeState.UNSUPPORTED),
        (Awake(None, is_on=False), AwakeState.OFF),
    ):
        awake.want(True)
        assert awake.state is state
        assert awake.problem() is None
        awake.close()
    assert fake.starts() == []


def test_a_mac_has_one_and_others_only_by_name() -> None:
    assert find_caffeinate("darwin", {}) == CAFFEINATE
    assert find_caffeinate("linux", {}) is None
    named = {"MLXOSS_CAFFEINATE": "/x/caffeinate"}
    assert find_caffeinate("linux", named) == find_caffeinate("darwin", named) == "/x/caffeinate"
