"""systemd's user manager: synchronous and talkative, so the sequences are short."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mlxoss.errors import ServiceError
from mlxoss.service.job import Absent, Found, Job, JobState, Unknown
from mlxoss.service.spec import Definition, ServiceSpec
from mlxoss.service.subprocess import CommandResult, RunCommand, run_command
from mlxoss.service.supervisor import Polling
from mlxoss.service.unit import SHOWN, UNIT, parse_show, read_unit, render_unit


@dataclass(frozen=True, slots=True)
class Systemd:
    """The user's systemd, through ``systemctl --user``.

    ``config_home`` is ``$XDG_CONFIG_HOME`` or ``~/.config``. A unit that is enabled starts
    at login; without lingering (``loginctl enable-linger``) it ends at logout.
    """

    systemctl: str
    config_home: Path
    exit_timeout_s: int = 30
    run: RunCommand = run_command
    pace: Polling = field(default_factory=Polling)
    name: str = "systemd"
    log_hint: str = f"journalctl --user --unit {UNIT} --lines 50"

    @property
    def definition(self) -> Path:
        """The unit file."""
        return self.config_home / "systemd" / "user" / UNIT

    def render(self, spec: ServiceSpec) -> bytes:
        """Return the unit file."""
        return render_unit(spec).encode()

    def read(self, data: bytes) -> Definition | None:
        """Read a unit file back."""
        return read_unit(data)

    def query(self) -> Found:
        """Ask for the unit's properties."""
        try:
            done = self._call("show", f"--property={','.join(SHOWN)}", UNIT)
        except ServiceError as exc:
            return Unknown(str(exc))
        return parse_show(done.out) if done.code == 0 else Unknown(done.said)

    def is_disabled(self) -> bool:
        """Tell whether the unit is there and not wanted at login."""
        return self.definition.exists() and self._call("is-enabled", UNIT).code != 0

    def rival(self) -> str | None:
        """No other installer makes user units."""
        return None

    def register(self) -> tuple[str, ...]:
        """Read the unit anew and start it."""
        self._must("daemon-reload")
        self.enable()
        self._must("start", UNIT)
        return ("To have it run without a login: `loginctl enable-linger`.",)

    def kick(self) -> None:
        """Start it; nothing happens while it runs. A counter of failed starts is reset."""
        self._call("reset-failed", UNIT)
        self._must("start", UNIT)

    def unregister(self) -> bool:
        """Stop it; the command returns when the process has gone."""
        job = self.query()
        if isinstance(job, Absent) or (isinstance(job, Job) and not self._lives(job)):
            return False
        self._must("stop", UNIT)
        return True

    def terminate(self) -> bool:
        """Send SIGTERM to the main process."""
        job = self.query()
        if not isinstance(job, Job) or job.pid is None:
            return False
        return self._call("kill", "--kill-whom=main", "--signal=SIGTERM", UNIT).code == 0

    def replace(self) -> None:
        """SIGKILL, then start: a stop would wait for the process once more."""
        self._call("kill", "--signal=SIGKILL", UNIT)
        self._must("restart", UNIT)

    def disable(self) -> None:
        """Take it out of the login's wants."""
        self._must("disable", UNIT)

    def enable(self) -> None:
        """Put it there."""
        self._must("enable", UNIT)

    def forget(self) -> None:
        """Remove the link that ``enable`` made, and what is remembered of the unit."""
        self._call("disable", UNIT)
        self._must("daemon-reload")
        self._call("reset-failed", UNIT)

    def _lives(self, job: Job) -> bool:
        return job.alive or job.state is not JobState.ENDED

    def _call(self, *arguments: str) -> CommandResult:
        limit_s = self.exit_timeout_s + self.pace.grace_s + 5
        return self.run([self.systemctl, "--user", "--no-pager", *arguments], timeout_s=limit_s)

    def _must(self, *arguments: str) -> None:
        done = self._call(*arguments)
        if done.code != 0:
            raise ServiceError(f"systemctl {arguments[0]} failed: {done.said}")
