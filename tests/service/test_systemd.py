"""The sequences under systemd, with a small ``systemctl`` that keeps a real process.

No container has a user's systemd, so the manager is a script; what it answers is what
``systemctl(1)`` documents.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mlxoss.errors import ServiceError
from mlxoss.service.health import probe
from mlxoss.service.job import Absent, Job, JobState, Unknown
from mlxoss.service.manager import Manager
from mlxoss.service.ready import ServiceReady, wait_ready
from mlxoss.service.spec import ServiceSpec
from mlxoss.service.supervisor import Polling
from mlxoss.service.systemd import Systemd
from tests.support.service.box import free_port, is_alive
from tests.support.waiting import HANG_S, until

PACE = Polling(poll_s=0.05)


class Machine:
    def __init__(self, root: Path) -> None:
        here = Path(__file__).parents[1] / "support" / "service"
        self.root = root
        self.port = free_port()
        self.program = self._script("mlxoss", (here / "daemon.py").read_text())
        folder = f"ROOT = {str(root)!r}\n"
        self.systemctl = self._script("systemctl", folder + (here / "systemctl.py").read_text())
        self.supervisor = Systemd(str(self.systemctl), root / "config", pace=PACE)
        self.manager = Manager(self.supervisor, root / "data", pace=PACE)
        environment = {"DAEMON_STATE": str(root / "state"), "DAEMON_PORT": str(self.port)}
        log = root / "logs" / "service.log"
        self.spec = ServiceSpec(self.program, root / "state", log, environment)

    def _script(self, name: str, text: str) -> Path:
        path = self.root / name
        path.write_text(f"#!{sys.executable}\n{text}")
        path.chmod(0o755)
        return path

    def job(self) -> Job:
        job = self.supervisor.query()
        assert isinstance(job, Job), job
        return job

    def up(self) -> int:
        ask = wait_ready(
            self.supervisor.query,
            lambda: probe("127.0.0.1", self.port),
            lambda: None,
            limit_s=HANG_S,
            pace=PACE,
        )
        assert isinstance(ask, ServiceReady), ask
        pid = self.job().pid
        assert pid is not None
        return pid


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    if sys.platform != "linux":
        pytest.skip("systemd and its stand-in are Linux's")
    made = Machine(tmp_path)
    yield made
    if (pid := getattr(made.supervisor.query(), "pid", None)) is not None:
        os.kill(pid, 9)


@pytest.mark.slow
def test_the_whole_life(machine: Machine) -> None:
    manager, unit = machine.manager, machine.supervisor.definition
    assert isinstance(machine.supervisor.query(), Absent)
    with pytest.raises(ServiceError, match="not installed"):
        manager.start()
    outcome = manager.install(machine.spec)
    assert outcome.done[0] == f"wrote {unit}"
    assert "enable-linger" in outcome.notes[0]
    pid = machine.up()
    assert manager.install(machine.spec).done == ()
    assert manager.start().done == ()

    assert manager.restart().done == ("restarted",)
    fresh = machine.up()
    assert fresh != pid

    changed = replace(machine.spec, exit_timeout_s=40)
    assert "stopped the old instance" in manager.install(changed).done
    pid = machine.up()
    assert pid != fresh

    assert manager.stop().done == ("stopped",)
    assert not is_alive(pid)
    assert machine.job().state is JobState.ENDED
    assert manager.stop().done == ()
    assert manager.stop(disable=True).done == ("disabled at login",)
    assert "enabled at login" in manager.start().done
    pid = machine.up()

    assert manager.uninstall().done == ("stopped", f"removed {unit}")
    assert not is_alive(pid)
    assert isinstance(machine.supervisor.query(), Absent)
    assert manager.uninstall().done == ()


@pytest.mark.slow
def test_a_deaf_daemon_is_killed_on_restart(machine: Machine) -> None:
    (machine.root / "state").mkdir()
    (machine.root / "state" / "behaviour").write_text("deaf")
    machine.manager.install(machine.spec)
    pid = machine.up()
    (machine.root / "state" / "behaviour").write_text("serve")
    outcome = replace(machine.manager, drain_s=0.3).restart()
    assert "was killed" in outcome.notes[0]
    until(lambda: not is_alive(pid))
    assert machine.up() != pid


def test_a_manager_that_cannot_be_asked_is_unknown(tmp_path: Path) -> None:
    supervisor = Systemd(str(tmp_path / "none"), tmp_path)
    found = supervisor.query()
    assert isinstance(found, Unknown)
    assert "cannot be run" in found.why
    with pytest.raises(ServiceError, match="systemd cannot tell"):
        Manager(supervisor, tmp_path / "data").stop()
