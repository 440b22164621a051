"""A group that does not come about ends, on both sides, and says why."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path

import mlx.core as mx
import pytest

from mlxoss.engine.ranks.group import RankGroup, _Peer
from mlxoss.engine.ranks.messages import InsertSequence, Join, Ready
from mlxoss.engine.ranks.ring import free_addresses
from mlxoss.errors import RanksLost
from tests.ranks.test_channel import wait_for_end, worker
from tests.support.cli.daemon import start_daemon
from tests.support.ranks.served import TIMEOUT_S, group_with_other
from tests.support.ranks.shared import HERE, make_plan
from tests.support.service.box import is_alive
from tests.support.waiting import until

DIES_WHEN_TOLD_TO_JOIN = """
import os, signal, socket, time
import mlxoss.engine.ranks.ring as ring

def join(backend, rank, addresses, *_):
    host, port = addresses[0][0].rsplit(":", 1)
    while True:
        try:
            socket.create_connection((host, int(port)))
            break  # rank 0 has begun to join: MLX listens there
        except OSError:
            time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)

ring.join = join
"""


def test_a_rank_that_is_lost_while_the_group_forms(tmp_path: Path) -> None:
    """MLX holds the interpreter's lock meanwhile, so neither /health nor a signal gets through."""
    with group_with_other(tmp_path, DIES_WHEN_TOLD_TO_JOIN) as daemon:
        assert daemon.process.wait(120) == 1
        until(lambda: "Timeout" in "".join(daemon.said))
        told = f"the ranks find each other, or this ends after {TIMEOUT_S} s"
        assert told in "".join(daemon.said)


def test_a_rank_whose_group_never_forms_ends() -> None:
    with worker(timeout_s=1.0) as (process, channel, hall):
        own = hall.next(Ready).addresses
        channel.send(Join((free_addresses(HERE.ips), own)))
        assert wait_for_end(process).startswith("exit status 1")


@pytest.mark.skipif(mx.distributed.is_available("jaccl"), reason="there is JACCL here")
def test_a_backend_that_is_not_there_is_no_reason_to_start_again(tmp_path: Path) -> None:
    hosts = (((), ("rdma_en5",)), (("rdma_en5",), ()))
    rows = [{"ssh": "127.0.0.1", "ips": ["127.0.0.1"], "rdma": list(rdma)} for rdma in hosts]
    hostfile = tmp_path / "hosts.json"
    hostfile.write_text(json.dumps(rows))
    flags = ("--hostfile", str(hostfile), "--backend", "jaccl")
    with start_daemon(tmp_path, *flags) as daemon:
        daemon.wait_until(lambda: daemon.health()["status"] == "failed")
        assert "MLX has no jaccl on this machine" in daemon.health()["error"]
        assert daemon.stop(signal.SIGTERM) == 0


def test_an_address_that_is_not_the_hosts(tmp_path: Path) -> None:
    with group_with_other(tmp_path, "", ip="203.0.113.1") as daemon:
        assert daemon.process.wait(120) == 1
        until(lambda: "203.0.113.1 is no address of this machine" in "".join(daemon.said))


def test_a_group_ends_though_a_rank_takes_no_message(tmp_path: Path) -> None:
    """Whoever sends to it waits, and holds the connection meanwhile."""
    ranks = RankGroup(make_plan(tmp_path))
    large = InsertSequence(0, tuple(range(4_000_000)), 1, (), (), 0, (0, 0))

    def send() -> None:
        with pytest.raises(RanksLost):
            ranks.tell(large)

    with worker() as (process, channel, hall):
        process.pid = hall.next(Ready).pid
        ranks._peers.append(_Peer(1, HERE, process, time.monotonic(), channel))
        os.kill(process.pid, signal.SIGSTOP)
        sending, stopping = (
            threading.Thread(target=each, daemon=True) for each in (send, ranks.stop)
        )
        sending.start()
        until(channel._lock.locked)
        stopping.start()
        for thread in (stopping, sending):
            thread.join(120)
            assert not thread.is_alive()
        assert not is_alive(process.pid)
