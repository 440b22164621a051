"""Hosts that a real ssh does not reach, and those that do not answer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mlxoss.cluster.remote import Remote
from mlxoss.cluster.trouble import Trouble
from mlxoss.findings import Level
from mlxoss.hosts import Host
from tests.support.cli.runner import environment
from tests.support.cluster.groups import check, group, of, write_hostfile
from tests.support.cluster.sshd import Network
from tests.support.service.box import free_port


def test_why_hosts_are_not_reached(network: Network, tmp_path: Path) -> None:
    port = network.serve("mac-b")
    other = network.folder / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", other], check=True)
    network.know("unknown", Port=port, UserKnownHostsFile="/dev/null")
    network.know("strange", Port=port, IdentityFile=other)
    network.know("closed", Port=free_port())
    network.know("no-name", HostName="no-such-host.invalid")
    names = ("unknown", "strange", "closed", "no-name")
    found = check(write_hostfile(tmp_path, group("mac-a", *names)))
    expected = {
        "unknown": ("Host key verification failed", "ssh unknown exit"),
        "strange": ("Permission denied (publickey)", "ssh-copy-id strange"),
        "closed": ("Connection refused", "Remote Login"),
        "no-name": ("Could not resolve hostname", "hosts[4].ssh"),
    }
    for rank, (detail, remedy) in enumerate(expected.values(), 1):
        told = of(found, rank, "reach")
        assert told.level is Level.FAIL
        assert detail in told.detail
        assert remedy in str(told.remedy)
    assert found.failed
    assert found.reports.keys() == {0}


def test_a_key_that_only_this_shells_agent_has(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network.serve("mac-b")
    socket = tmp_path / "agent"
    with subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.DEVNULL) as agent:
        try:
            monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
            add = ["sh", "-c", f"until ssh-add -q {network.key}; do sleep 0.05; done"]
            subprocess.run(add, check=True, timeout=120, stderr=subprocess.DEVNULL)
            path = write_hostfile(tmp_path, group("mac-a", "mac-b"))
            assert of(check(path), 1, "reach").level is Level.OK
            network.key.unlink()
            told = of(check(path), 1, "reach")
        finally:
            agent.terminate()
    assert told.level is Level.WARN
    assert "which a service does not have" in told.detail
    assert "ssh-copy-id" in str(told.remedy)


def test_a_host_that_hangs_is_given_up(network: Network) -> None:
    network.serve("asleep", force="sleep 600")
    told = Remote(Host(1, "asleep")).ask({"ask": "report"}, 0.1)
    assert isinstance(told, Trouble)
    assert told.detail.startswith("it did not answer within")


def test_a_probe_ends_by_itself(network: Network) -> None:
    """Nobody measures, and whoever asked cannot tell it to stop."""
    network.serve("mac-b")
    told = Remote(Host(1, "mac-b")).ask({"ask": "measure", "envs": []}, 3.0)
    assert isinstance(told, Trouble)
    with_question = {"ask": "listen", "host": "127.0.0.1", "secret": "s"}
    done = subprocess.run(
        [sys.executable, "-m", "mlxoss", "cluster", "probe"],
        input=json.dumps({**with_question, "limit_s": 1.0}),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == -14
    assert '{"port": ' in done.stdout


@pytest.mark.parametrize("question", ["", "{}", "[]", '{"ask": "rm", "limit_s": 1}', "x" * 99])
def test_a_probe_refuses_what_is_no_question(question: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mlxoss", "cluster", "probe"],
        env=environment(tmp_path),
        input=question,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
    assert "for `mlxoss cluster check` to run" in done.stderr
