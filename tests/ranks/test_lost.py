"""A rank that dies or stalls ends the group, with a clear error and a code."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.support.ranks.served import Talk, group, pids
from tests.support.service.box import is_alive
from tests.support.waiting import until


@pytest.mark.parametrize(
    ("number", "why"),
    [(signal.SIGKILL, "ended (signal 9"), (signal.SIGSTOP, "stopped answering")],
)
def test_a_rank_that_is_killed_or_stopped(tmp_path: Path, number: int, why: str) -> None:
    with group(tmp_path) as daemon:
        _, worker = pids(daemon)
        talk = Talk(daemon)
        os.kill(worker, number)
        assert f"Rank 1 on 127.0.0.1 {why}" in talk.join()
        assert daemon.process.wait(120) == 1
        until(lambda: not is_alive(worker))
