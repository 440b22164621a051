"""Whether the daemon itself gets to the other hosts, which it tries by real connections.

No host is kept from this process as macOS would keep it; the broadcast address, to which the
kernel opens no TCP connection, fails at once in the same way.
"""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from mlxoss.cluster import reach as module
from mlxoss.cluster.reach import (
    REMEDY,
    HostReach,
    judge_reach,
    read_reach,
    try_hosts,
    write_reach,
)
from mlxoss.findings import Level
from mlxoss.hosts import Host
from tests.support.cli.runner import mlxoss
from tests.support.ranks.served import group_with_other
from tests.support.waiting import until

NOWHERE = "255.255.255.255"
HERE = Host(0, "mac-a", ("127.0.0.1",))


def test_who_answers_and_who_refuses_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:
        monkeypatch.setattr(module, "_PORT", door.getsockname()[1])
        (tried,) = try_hosts((HERE, Host(1, "mac-b", ("127.0.0.1",)))).tried
        assert tried.why is None
    (tried,) = try_hosts((HERE, Host(1, "mac-b", ("127.0.0.1",)))).tried
    assert (tried.rank, tried.host, tried.ip, tried.why) == (1, "mac-b", "127.0.0.1", None)


def test_who_cannot_be_got_to_is_told_with_what_helped_others(tmp_path: Path) -> None:
    hosts = (HERE, Host(1, "mac-b", ("127.0.0.1", NOWHERE)))
    reach = HostReach(hosts, tmp_path)
    assert reach.problem() is None
    found = reach.try_them()
    assert [each.why for each in found.tried] == [None, "Network is unreachable"]
    problem = reach.problem()
    assert problem is not None
    where = f"rank 1 (mac-b) at {NOWHERE}"
    assert problem.message == (
        f"The service itself does not get to {where}: Network is unreachable."
    )
    assert problem.remedy == REMEDY
    assert "Local Network" in REMEDY
    checks = judge_reach(hosts, read_reach(tmp_path, hosts))
    assert [(rank, check.name, check.level) for rank, check in checks] == [
        (1, "service", Level.OK),
        (1, "service", Level.WARN),
    ]


def test_what_was_found_of_other_hosts_counts_for_nothing(tmp_path: Path) -> None:
    hosts = (HERE, Host(1, "mac-b", (NOWHERE,)))
    assert read_reach(tmp_path, hosts) is None
    write_reach(tmp_path, try_hosts(hosts))
    assert read_reach(tmp_path, hosts) is not None
    assert read_reach(tmp_path, (HERE, Host(1, "mac-c", (NOWHERE,)))) is None
    for damaged in ("", "[]", '{"at": 1}', '{"at": 1, "tried": [1]}', "\x00"):
        (tmp_path / "reach.json").write_text(damaged)
        assert read_reach(tmp_path, hosts) is None
    ((rank, check),) = judge_reach(hosts, None)
    assert (rank, check.level) == (1, Level.SKIP)


def test_hosts_without_ssh_are_not_tried() -> None:
    assert try_hosts((HERE, Host(1, "127.0.0.1", ("127.0.0.1",)))).tried == ()


@pytest.mark.slow
def test_the_daemon_tries_and_its_commands_tell(tmp_path: Path) -> None:
    """The other rank never comes, so that the daemon stays where it began."""
    with group_with_other(tmp_path, "import sys; sys.stdin.read()", ip=NOWHERE) as daemon:
        (problem,) = until(lambda: daemon.health()["problems"])
        assert problem["code"] == "host_unreached"
        assert f"rank 1 (other-mac) at {NOWHERE}: Network is unreachable" in problem["message"]
    hostfile = str(tmp_path / "hosts.json")
    env = {"PATH": f"{tmp_path}/bin:/usr/bin:/bin", "MLXOSS_LAUNCHCTL": "/bin/false"}
    told = mlxoss(tmp_path / "home", "cluster", "check", hostfile, "--json", env=env)
    checks = json.loads(told.stdout)["checks"]
    (check,) = (each for each in checks if each["name"] == "service")
    assert (check["rank"], check["level"]) == (1, "warn")
    assert check["detail"].startswith(
        f"the service itself does not get to {NOWHERE}: Network is unreachable ("
    )
    config = tmp_path / "home" / "mlxoss" / "config" / "config.toml"
    config.parent.mkdir(exist_ok=True)
    config.write_text(f"hostfile = {json.dumps(hostfile)}\n")
    shown = mlxoss(tmp_path / "home", "status", env=env).stdout
    where = f"rank 1 (other-mac) at {NOWHERE}"
    assert f"{where}: not reached by the service, Network is unreachable" in " ".join(shown.split())
