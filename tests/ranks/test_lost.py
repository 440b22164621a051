"""A rank that dies or stalls ends the group, with a clear error and a code."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.ranks.served import Talk, group, is_there, pids, wait_until


def test_a_worker_that_is_killed(tmp_path: Path) -> None:
    with group(tmp_path) as daemon:
        _, worker = pids(daemon)
        talk = Talk(daemon)
        os.kill(worker, signal.SIGKILL)
        assert "Rank 1 on 127.0.0.1 ended" in talk.join()
        assert daemon.process.wait(60) == 1
        wait_until(lambda: not is_there(worker))


def test_a_worker_that_is_stopped(tmp_path: Path) -> None:
    with group(tmp_path) as daemon:
        _, worker = pids(daemon)
        talk = Talk(daemon)
        os.kill(worker, signal.SIGSTOP)
        assert "Rank 1 on 127.0.0.1 stopped answering" in talk.join()
        assert daemon.process.wait(60) == 1
        wait_until(lambda: not is_there(worker))
