"""A shared model leaves the memory of all ranks and comes back; a gentle end ends them all."""

from __future__ import annotations

import os
import signal
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.support.cli.daemon import Daemon
from tests.support.ranks.served import complete, group, pids
from tests.support.service.box import is_alive
from tests.support.waiting import until


def tell(daemon: Daemon, what: str) -> None:
    urllib.request.urlopen(f"{daemon.url}/mlxoss/{what}", data=b"", timeout=120).close()


def test_unloaded_and_loaded_again_then_a_gentle_end(tmp_path: Path) -> None:
    with group(tmp_path, 2, "--rank-timeout", "60") as daemon:
        _, worker = pids(daemon)
        found = daemon.health()["ranks"]
        assert found["backend"] == "ring"
        assert found["communication_s_per_step"] > 0
        assert [rank["rank"] for rank in found["ranks"]] == [0, 1]
        held = [rank["memory"]["active_bytes"] for rank in found["ranks"]]
        said = complete(daemon)
        tell(daemon, "unload")
        until(lambda: rank_memory(daemon) < held[1] / 2)
        assert daemon.health()["status"] == "unloaded"
        assert complete(daemon) == said
        assert pids(daemon)[1] == worker
        with ThreadPoolExecutor(1) as pool:
            # The other rank stands still meanwhile, so that the answer is under way; then few
            # tokens are left, which the slowest machine says within the daemon's patience.
            os.kill(worker, signal.SIGSTOP)
            answer = pool.submit(complete, daemon, 16)
            daemon.wait_until(lambda: daemon.health()["active_requests"] == 1)
            daemon.process.send_signal(signal.SIGTERM)
            daemon.wait_until(lambda: "stopping" in "".join(daemon.said))
            os.kill(worker, signal.SIGCONT)
            assert len(answer.result()) > len(said)
        assert daemon.process.wait(120) == 0
        assert not is_alive(worker)


def rank_memory(daemon: Daemon) -> int:
    active: int = daemon.health()["ranks"]["ranks"][1]["memory"]["active_bytes"]
    return active
