"""launchd: the sequences that survive its asynchronous, terse ways."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from mlxoss.errors import ServiceError
from mlxoss.service.job import Absent, Found, Job, JobState, Unknown
from mlxoss.service.launchctl import Code, parse_disabled, parse_print
from mlxoss.service.plist import plist_path, read_plist, render_plist
from mlxoss.service.spec import LABEL, Definition, ServiceSpec
from mlxoss.service.subprocess import CommandResult, RunCommand, run_command
from mlxoss.service.supervisor import Polling

HOMEBREW_LABEL = "homebrew.mxcl.mlxoss"
"""The label that ``brew services`` gave before the formula named its own."""

NO_DESKTOP = (
    "there is no desktop session; it starts at the next login, and with `mlxoss start` at once"
)

TRIES_BEFORE_A_DIAGNOSIS = 5
KILLED_WITHIN_S = 5.0
_LOGIN_ITEMS = "If System Settings > General > Login Items has it off, switch it on; mlxoss install"
SPAWNED_WITHIN_S = 12.0
"""Longer than launchd's throttle of 10 s, which some systems apply to a kickstart too."""


@dataclass(frozen=True, slots=True)
class Launchd:
    """The user's launchd, through ``launchctl``.

    A user has two domains: ``gui/UID`` exists while there is a desktop session,
    ``user/UID`` after any login. A service is looked for in both and started in the first
    that exists. ``home`` holds ``Library/LaunchAgents``.
    """

    launchctl: str
    uid: int
    home: Path
    label: str = LABEL
    exit_timeout_s: int = 30
    run: RunCommand = run_command
    pace: Polling = field(default_factory=Polling)
    name: str = "launchd"
    log_hint: str = (
        'log show --last 10m --predicate \'process == "launchd" OR process == "xpcproxy"\''
    )

    @property
    def definition(self) -> Path:
        """The property list."""
        return plist_path(self.home, self.label)

    def render(self, spec: ServiceSpec) -> bytes:
        """Return the property list."""
        return render_plist(spec)

    def read(self, data: bytes) -> Definition | None:
        """Read a property list back."""
        return read_plist(data)

    def query(self) -> Found:
        """Look in both domains. Without a desktop session the service can only be in the other.

        One that runs goes before one that does not: a login at the desktop, while a login over SSH
        has it, starts a second one, which finds the port taken and ends.
        """
        gui, user = self._domains()
        try:
            on_desktop = self._print(gui)
            if isinstance(on_desktop, Job) and on_desktop.alive:
                return on_desktop
            found = self._print(user)
        except ServiceError as exc:
            return Unknown(str(exc))
        if isinstance(on_desktop, Job):
            return found if isinstance(found, Job) and found.alive else on_desktop
        if isinstance(found, Absent) and isinstance(on_desktop, Unknown):
            return Absent(NO_DESKTOP)
        return found if isinstance(on_desktop, Unknown) or isinstance(found, Job) else Absent()

    def is_disabled(self) -> bool:
        """Read the override that outlives the property list and reboots."""
        for domain in self._domains():
            done = self._call("print-disabled", domain)
            if done.code == Code.OK:
                return parse_disabled(done.out, self.label)
        return False

    def rival(self) -> str | None:
        """Look for a service of Homebrew's under its default label."""
        path = plist_path(self.home, HOMEBREW_LABEL)
        return str(path) if path.exists() else None

    def register(self) -> tuple[str, ...]:
        """Enable, bootstrap (again while an old instance goes), make sure it was spawned."""
        gui, user = self._domains()
        domain = gui if self._call("print", gui).code == Code.OK else user
        for other in {gui, user} - {domain}:
            self._bootout(other)
        self.enable()
        self._bootstrap(domain)
        self._ensure_spawned()
        if domain == gui:
            return ()
        return (
            "No desktop session: the service runs in the domain of this login; after one at the "
            "desktop `mlxoss restart` moves it there.",
        )

    def kick(self) -> None:
        """Start it unless it runs: 37 says it does."""
        job = self._job()
        done = self._call("kickstart", f"{job.where}/{self.label}")
        if done.code not in (Code.OK, Code.ALREADY):
            raise ServiceError(f"launchd did not start the service: {done.said}")
        if not job.alive:
            self._wait(lambda now: now.alive or now.runs > job.runs, SPAWNED_WITHIN_S)

    def unregister(self) -> bool:
        """Boot it out of both domains and wait until it has gone."""
        gone = [self._bootout(domain) for domain in self._domains()]
        return any(gone)

    def terminate(self) -> bool:
        """Send SIGTERM: 3 says that there is no process."""
        job = self.query()
        if not isinstance(job, Job):
            return False
        return self._call("kill", "SIGTERM", f"{job.where}/{self.label}").code == Code.OK

    def replace(self) -> None:
        """``kickstart -k``, which sends SIGKILL."""
        job = self._job()
        done = self._call("kickstart", "-k", f"{job.where}/{self.label}")
        if done.code != Code.OK:
            raise ServiceError(f"launchd did not restart the service: {done.said}")
        self._wait(lambda now: now.alive or now.runs > job.runs, SPAWNED_WITHIN_S)

    def disable(self) -> None:
        """Write the override; launchd keeps one for the user, whatever the domain."""
        self._call("disable", f"{self._domains()[0]}/{self.label}")

    def enable(self) -> None:
        """Overwrite it with ``enabled``: no verb deletes one."""
        self._call("enable", f"{self._domains()[0]}/{self.label}")

    def forget(self) -> None:
        """Leave no ``disabled`` behind."""
        if self.is_disabled():
            self.enable()

    def _domains(self) -> tuple[str, str]:
        return f"gui/{self.uid}", f"user/{self.uid}"

    def _call(self, *arguments: str) -> CommandResult:
        return self.run([self.launchctl, *arguments])

    def _print(self, domain: str) -> Found:
        done = self._call("print", f"{domain}/{self.label}")
        if done.code == Code.OK:
            return parse_print(done.out, where=domain)
        return Absent() if done.code == Code.NOT_FOUND else Unknown(done.said)

    def _job(self) -> Job:
        match self.query():
            case Job() as job:
                return job
            case Absent():
                raise ServiceError("the service is not registered with launchd")
            case Unknown(why):
                raise ServiceError(f"launchd cannot tell about the service: {why}")

    def _wait(self, check: Callable[[Job], bool], limit_s: float) -> bool:
        def holds() -> bool:
            job = self.query()
            return isinstance(job, Job) and check(job)

        return self.pace.until(holds, limit_s)

    def _ensure_spawned(self) -> None:
        """Kick a job that was registered but never spawned; one that was is left alone.

        A kickstart while launchd is about to spawn would start it twice in a row if the
        first run ended at once.
        """
        if not self._wait(lambda job: job.alive or job.runs > 0, 2.0):
            self.kick()

    def _bootout(self, domain: str) -> bool:
        """Return ``False`` if it was not there. The command answers before the process ends."""
        if not isinstance(self._print(domain), Job):
            return False
        target = f"{domain}/{self.label}"
        done = self._call("bootout", target)
        if done.code not in (Code.OK, Code.NO_PROCESS, Code.IN_PROGRESS, Code.UNSUPPORTED):
            raise ServiceError(f"launchd did not stop the service: {done.said}")
        if not self._gone(domain, self.exit_timeout_s + self.pace.grace_s):
            self._call("kill", "SIGKILL", target)
            if not self._gone(domain, KILLED_WITHIN_S):
                raise ServiceError(
                    f"launchd still holds {target} after SIGKILL", remedy="Log out and in again."
                )
        return True

    def _gone(self, domain: str, limit_s: float) -> bool:
        return self.pace.until(lambda: not isinstance(self._print(domain), Job), limit_s)

    def _bootstrap(self, domain: str) -> None:
        """Repeat while launchd may still be tearing an old instance down."""
        end = self.pace.clock() + self.exit_timeout_s + self.pace.grace_s
        tries = 0
        while True:
            done = self._call("bootstrap", domain, str(self.definition))
            tries += 1
            if done.code == Code.OK or self._is_ours(domain):
                return
            late = self.pace.clock() >= end
            if tries >= TRIES_BEFORE_A_DIAGNOSIS or late or done.code not in (5, 37):
                self._diagnose(domain, done, final=late or done.code not in (5, 37))
            self.pace.sleep(self.pace.retry_s)

    def _is_ours(self, domain: str) -> bool:
        """Whether our file is registered already and not on its way out."""
        job = self._print(domain)
        return (
            isinstance(job, Job)
            and job.state is not JobState.STOPPING
            and os.path.realpath(job.definition or "") == os.path.realpath(self.definition)
        )

    def _diagnose(self, domain: str, done: CommandResult, *, final: bool) -> None:
        """Give the reason that a plain user is not told; return if there may be none."""
        try:
            info = self.definition.stat()
        except OSError:
            raise ServiceError(f"{self.definition} is missing", remedy="mlxoss install") from None
        if info.st_uid != self.uid or info.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise ServiceError(
                f"launchd refuses {self.definition}: others may write to it "
                f"(mode {info.st_mode & 0o777:04o}, owner {info.st_uid})",
                remedy="mlxoss install",
            )
        if read_plist(self.definition.read_bytes()) is None:
            raise ServiceError(f"{self.definition} is damaged", remedy="mlxoss install")
        if self.is_disabled():
            raise ServiceError(
                "the service is disabled", remedy=f"launchctl enable {domain}/{self.label}"
            )
        if final:
            # A switched-off login item is nowhere told apart: neither disabled nor refused.
            raise ServiceError(
                f"launchd did not accept the service: {done.said}",
                remedy=_LOGIN_ITEMS if done.code == Code.IO else None,
            )
