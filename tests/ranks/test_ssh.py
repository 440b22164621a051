"""A rank on another machine, which a real ``sshd`` stands in for: it leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests.cluster.conftest import network
from tests.support.cli.daemon import start_daemon
from tests.support.cluster.sshd import Network
from tests.support.ranks.served import TIMEOUT_S, Talk, complete, pids
from tests.support.service.box import is_alive
from tests.support.waiting import until

__all__ = ["network"]


@pytest.mark.parametrize("end", ["stop the rank", "kill rank 0"])
def test_a_rank_over_ssh_serves_and_goes(tmp_path: Path, network: Network, end: str) -> None:
    network.serve("mac-b", {"MLXOSS_HOME": tmp_path / "b"})
    hostfile = tmp_path / "hosts.json"
    hosts = [{"ssh": "mac-a", "ips": ["127.0.0.1"]}, {"ssh": "mac-b", "ips": ["127.0.0.1"]}]
    hostfile.write_text(json.dumps(hosts))
    flags = ("--hostfile", str(hostfile), "--rank-timeout", str(TIMEOUT_S))
    with start_daemon(tmp_path / "a", *flags) as daemon:
        daemon.wait_until_loaded()
        assert complete(daemon)
        _, worker = pids(daemon)
        talk = Talk(daemon)
        if end == "kill rank 0":
            daemon.process.kill()
        else:
            os.kill(worker, signal.SIGSTOP)
            assert "Rank 1 on mac-b stopped answering" in talk.join()
            assert daemon.process.wait(120) == 1
        until(lambda: not is_alive(worker))


def test_a_host_that_ssh_cannot_reach_ends_the_process_with_its_words(
    tmp_path: Path, network: Network
) -> None:
    network.know("mac-b", Port=9)
    hostfile = tmp_path / "hosts.json"
    hosts = [{"ssh": "mac-a", "ips": ["127.0.0.1"]}, {"ssh": "mac-b", "ips": ["127.0.0.1"]}]
    hostfile.write_text(json.dumps(hosts))
    with start_daemon(tmp_path / "a", "--hostfile", str(hostfile)) as daemon:
        assert daemon.process.wait(120) == 1
    assert "Rank 1 on mac-b ended (exit status 255: ssh: connect to host" in "".join(daemon.said)
