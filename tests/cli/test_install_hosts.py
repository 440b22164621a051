"""The service of several hosts: its hostfile is checked, kept, and missed when it is gone."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

from tests.support.cli.mac import Mac
from tests.support.demo import SUM, ask_for_the_sum
from tests.support.service.box import free_port, is_alive
from tests.support.waiting import until

GROUP = [{"ssh": "this", "ips": ["127.0.0.1"]}, {"ssh": "localhost", "ips": ["127.0.0.2"]}]


def write_hosts(mac: Mac, document: object) -> Path:
    path = mac.home / "hosts.json"
    path.write_text(json.dumps(document))
    return path


def doctor(mac: Mac) -> dict[str, dict[str, str]]:
    return {check["name"]: check for check in json.loads(mac("doctor", "--json").stdout)}


def test_the_hostfile_becomes_a_setting_and_is_missed_when_it_is_gone(mac: Mac) -> None:
    path = write_hosts(mac, GROUP)
    said = mac.install("--no-start", "--hostfile", "~/hosts.json")
    assert "Asking 2 hosts ..." in said
    assert "Privacy & Security > Local Network" in said
    assert mac.config()["hostfile"] == str(path)
    assert mac.ok("config", "get", "hostfile") == f"{path}\n"
    assert doctor(mac)["hostfile"]["level"] == "ok"
    assert not any("hostfile" in concern for concern in mac.status()["concerns"])

    path.unlink()
    (told,) = (c for c in mac.status()["concerns"] if "hostfile" in c)
    assert told.startswith(f"It cannot start again: The hostfile {path} cannot be used: ")
    assert "it does not exist" in told
    assert "mlxoss config set hostfile ''" in told
    found = doctor(mac)["hostfile"]
    assert found["level"] == "fail"
    assert "it does not exist" in found["detail"]
    assert found["remedy"]
    mac.ok("config", "set", "hostfile", "")
    assert "hostfile" not in mac.config()
    assert "hostfile" not in doctor(mac)
    said = mac("config", "set", "hostfile", str(path)).stderr
    assert "the service does not start like this" in said


def test_two_hosts_serve_and_a_lost_one_is_started_again(mac: Mac) -> None:
    path = write_hosts(mac, GROUP)
    mac.ok("install", "--port", str(mac.port), "--hostfile", str(path))
    first = mac.loaded()["job"]["pid"]
    assert ask_for_the_sum(mac.port) == SUM
    assert mac.ok("chat", "What is 2 + 3?").strip()
    (rank,) = children(first)
    os.kill(rank, signal.SIGKILL)
    second = until(lambda: (mac.status()["job"] or {}).get("pid") not in (None, first))
    assert second
    found = mac.loaded()["job"]
    assert ask_for_the_sum(mac.port) == SUM
    assert not is_alive(first)

    path.unlink()
    assert mac("restart").returncode == 1
    assert "it does not exist" in mac.status()["last_exit"]["reason"]
    until(lambda: not any(map(is_alive, (rank, found["pid"]))))
    mac.ok("uninstall")


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    listed = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for file in listed for child in file.read_text().split()]


def test_nothing_is_touched_for_hosts_that_are_not_fit(mac: Mac) -> None:
    gone = mac.home / "gone.json"
    wrong = write_hosts(mac, [GROUP[0], {"ssh": "mac-b", "ip": ["10.0.0.2"]}])
    strange = mac.home / "strange.json"
    port = free_port()
    strange.write_text(json.dumps([GROUP[0], {"ssh": f"ssh://127.0.0.1:{port}", "ips": ["x"]}]))
    expected = {
        gone: (2, "it does not exist"),
        wrong: (2, "hosts[1].ip is unknown (did you mean 'ips'?)"),
        strange: (1, f"rank 1 (ssh://127.0.0.1:{port}): ssh: "),
    }
    for path, (code, said) in expected.items():
        done = mac("install", "--model", str(mac.model), "--hostfile", str(path))
        assert done.returncode == code, done.stderr
        assert said in done.stderr
        assert not mac.plist.exists()
        assert not (mac.folder / "config").exists()
    assert "Remote Login" in done.stderr
