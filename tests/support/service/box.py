"""A home folder, a stand-in launchd and a tiny daemon: all that a life of the service takes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from mlxoss.last_exit import read_last_exit
from mlxoss.service.health import Health, probe
from mlxoss.service.job import Job
from mlxoss.service.launchd import Launchd
from mlxoss.service.manager import Manager
from mlxoss.service.ready import ServiceNotReady, ServiceReady, wait_ready
from mlxoss.service.spec import LABEL, ServiceSpec
from mlxoss.service.status import ServiceStatus, read_status
from mlxoss.service.supervisor import Polling
from tests.support.service.standin import StandIn
from tests.support.waiting import HANG_S, until

PACE = Polling(poll_s=0.2, retry_s=0.2)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probing:
        port: int = probing.getsockname()[1]
        return port


def is_alive(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    if Path("/proc/self").exists():
        try:
            return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
        except OSError:
            return False
    shown = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, check=False)
    return shown.returncode == 0 and not shown.stdout.strip().startswith(b"Z")


class Box:
    """One user's machine."""

    def __init__(self, root: Path, quirks: str = "") -> None:
        self.root = root
        self.home = root / "home"
        self.state = root / "state"
        self.port = free_port()
        self.pids: set[int] = set()
        self.home.mkdir()
        self.ctl = StandIn(root / "launchd", self.home, quirks)
        self.program = self._daemon("bin/mlxoss")

    def _daemon(self, name: str) -> Path:
        code = Path(__file__).with_name("daemon.py").read_text()
        return self._script(name, code, sys.executable)

    def _script(self, name: str, text: str, interpreter: str) -> Path:
        path = self.root / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!{interpreter}\n{text}\n")
        path.chmod(0o755)
        return path

    def behave(self, how: str) -> None:
        """What the daemon does from its next start on."""
        self.state.mkdir(exist_ok=True)
        (self.state / "behaviour").write_text(how)

    def spec(self, **changes: object) -> ServiceSpec:
        environment = {"DAEMON_STATE": str(self.state), "DAEMON_PORT": str(self.port)}
        spec = ServiceSpec(
            self.program, self.state, self.root / "logs" / "launchd.log", environment
        )
        return replace(spec, **changes)  # type: ignore[arg-type]

    @property
    def supervisor(self) -> Launchd:
        return Launchd(str(self.ctl.command), os.getuid(), self.home, pace=PACE)

    @property
    def manager(self) -> Manager:
        return Manager(self.supervisor, self.root / "data", pace=PACE)

    @property
    def plist(self) -> Path:
        return self.supervisor.definition

    def ask(self) -> Health:
        return probe("127.0.0.1", self.port)

    def ready(self) -> ServiceReady | ServiceNotReady:
        return wait_ready(
            self.supervisor.query,
            self.ask,
            lambda: read_last_exit(self.state),
            limit_s=HANG_S,
            pace=PACE,
        )

    def status(self) -> ServiceStatus:
        return read_status(self.manager, self.ask, lambda: read_last_exit(self.state), self.program)

    def job(self) -> Job:
        job = self.supervisor.query()
        assert isinstance(job, Job), job
        if job.pid:
            self.pids.add(job.pid)
        return job

    def up(self) -> int:
        """Wait until the daemon answers; return its pid."""
        ready = self.ready()
        assert isinstance(ready, ServiceReady), (ready, self.log())
        pid = self.job().pid
        assert pid is not None
        return pid

    def log(self) -> str:
        path = self.root / "logs" / "launchd.log"
        return path.read_text() if path.exists() else ""

    def starts(self) -> int:
        return self.log().count("daemon starts")

    @property
    def target(self) -> str:
        return f"gui/{os.getuid()}/{LABEL}"

    def close(self) -> None:
        """Nothing may be left: neither a process nor a registration."""
        assert self.ctl("shutdown").returncode == 0
        until(lambda: not any(map(is_alive, self.pids)))
