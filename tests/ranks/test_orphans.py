"""Without rank 0 the others end by themselves."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.support.ranks.served import Talk, group, pids
from tests.support.service.box import is_alive
from tests.support.waiting import until


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_rank_0_that_dies_or_is_stopped_leaves_no_orphan(tmp_path: Path, number: int) -> None:
    with group(tmp_path) as daemon:
        _, worker = pids(daemon)
        Talk(daemon)
        daemon.process.send_signal(number)
        until(lambda: not is_alive(worker))
