"""Install, start, stop, restart, uninstall: sequences that are safe to repeat.

Each holds one lock file for its whole length and returns what it changed; an empty list
means that everything was as asked already. What is not ours (a definition that ``brew
services`` wrote) is never touched.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mlxoss.errors import ServiceError
from mlxoss.files import take_lock, write_if_changed
from mlxoss.service.job import Absent, Found, Job, JobState, Unknown
from mlxoss.service.spec import Definition, ServiceSpec
from mlxoss.service.supervisor import Polling, Supervisor

DEFINITION_MODE = 0o644
"""Set after writing, whatever the umask: launchd refuses a file that others may write."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a sequence did, in order and in the past tense, and remarks for the user."""

    done: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def read_definition(supervisor: Supervisor) -> Definition | None:
    """Return what the installed definition says; ``None`` if there is none or it is damaged."""
    try:
        return supervisor.read(supervisor.definition.read_bytes())
    except OSError:
        return None


@dataclass(frozen=True, slots=True)
class Manager:
    """The service of one user. ``state_folder`` holds the lock; ``drain_s`` is how long a
    restart waits for running turns before it kills the process, ``lock_s`` how long any
    sequence waits for another command to finish.
    """

    supervisor: Supervisor
    state_folder: Path
    pace: Polling = field(default_factory=Polling)
    drain_s: float = 40.0
    lock_s: float = 60.0

    def definition(self) -> Definition | None:
        """Return what the installed definition says, as ``read_definition``."""
        return read_definition(self.supervisor)

    def is_installed(self) -> bool:
        """Whether there is a definition, be it damaged or a dangling link."""
        return os.path.lexists(self.supervisor.definition)

    def install(
        self, spec: ServiceSpec, *, start: bool = True, must_restart: bool = False
    ) -> Outcome:
        """Make the definition say ``spec``, and the service run by it.

        ``must_restart`` restarts a running service whose definition stays the same: its settings
        have changed, or its program has.
        With ``start`` false only the file is written; a running service is left as it is.
        """
        with self._locked():
            self._refuse_rivals()
            self._make_folders(spec)
            path = self.supervisor.definition
            wrote = write_if_changed(path, self.supervisor.render(spec), mode=DEFINITION_MODE)
            done = [f"wrote {path}"] if wrote else []
            if not start:
                return Outcome(tuple(done))
            found = self._found()
            if wrote or self._is_stale(found):
                done += ["stopped the old instance"] if self.supervisor.unregister() else []
                found = Absent()
            elif must_restart and isinstance(found, Job) and found.alive:
                return self._restart(found, done)
            return self._up(found, done)

    def start(self) -> Outcome:
        """Start the installed service; raises ``ServiceError`` if it is not installed."""
        with self._locked():
            self._refuse_rivals()
            self._require_definition()
            return self._up(self._found(), [])

    def stop(self, *, disable: bool = False) -> Outcome:
        """Stop it until the next login or ``start``; with ``disable`` until ``start`` only."""
        with self._locked():
            self._refuse_rivals()
            found = self._found()
            alive = isinstance(found, Job) and (found.alive or found.state is JobState.WAITING)
            gone = self.supervisor.unregister()
            done = ["stopped"] if gone and alive else []
            if disable and not self.supervisor.is_disabled():
                self.supervisor.disable()
                done.append("disabled at login")
        if disable or not self.supervisor.definition.exists():
            return Outcome(tuple(done))
        return Outcome(tuple(done), ("It starts again at the next login.",))

    def restart(self) -> Outcome:
        """Let running turns finish, then start anew; starts a service that was stopped."""
        with self._locked():
            self._refuse_rivals()
            self._require_definition()
            found = self._found()
            if isinstance(found, Job) and not self._is_stale(found):
                return self._restart(found, [])
            gone = self.supervisor.unregister()
            return self._up(Absent(), ["stopped the old instance"] if gone else [])

    def uninstall(self) -> Outcome:
        """Stop it and take its definition away; models, settings and logs stay."""
        with self._locked():
            self._refuse_rivals()
            done = ["stopped"] if self.supervisor.unregister() else []
            path = self.supervisor.definition
            if os.path.lexists(path):
                path.unlink()
                done.append(f"removed {path}")
            self.supervisor.forget()
        return Outcome(tuple(done))

    def _up(self, found: Found, done: list[str]) -> Outcome:
        notes: tuple[str, ...] = ()
        if self.supervisor.is_disabled():
            self.supervisor.enable()
            done.append("enabled at login")
        match found:
            case Job() if found.alive and found.state is not JobState.STOPPING:
                pass
            case Job() if found.state is not JobState.STOPPING:
                self.supervisor.kick()
                done.append("started")
            case _:
                notes = self.supervisor.register()
                done.append("registered and started")
        return Outcome(tuple(done), notes)

    def _restart(self, job: Job, done: list[str]) -> Outcome:
        """Never by way of the definition: SIGTERM drains, and exit 0 is not restarted."""

        def ended() -> bool:
            now = self.supervisor.query()
            return not (isinstance(now, Job) and now.alive and now.pid == job.pid)

        if not self.supervisor.terminate() or self.pace.until(ended, self.drain_s):
            self.supervisor.kick()
            return Outcome((*done, "restarted" if job.alive else "started"))
        self.supervisor.replace()
        note = f"It had not stopped after {self.drain_s:g} s and was killed."
        return Outcome((*done, "restarted"), (note,))

    def _found(self) -> Found:
        found = self.supervisor.query()
        if isinstance(found, Unknown):
            raise ServiceError(f"{self.supervisor.name} cannot tell: {found.why}")
        return found

    def _is_stale(self, found: Found) -> bool:
        """Whether what is registered came from another file than ours."""
        if not isinstance(found, Job) or found.definition is None:
            return False
        return os.path.realpath(found.definition) != os.path.realpath(self.supervisor.definition)

    def _require_definition(self) -> None:
        path = self.supervisor.definition
        if not path.exists():
            raise ServiceError("the service is not installed", remedy="mlxoss install")
        if self.definition() is None:
            raise ServiceError(f"{path} is damaged", remedy="mlxoss install")
        if (mode := path.stat().st_mode & 0o777) & 0o022:
            raise ServiceError(
                f"others may write to {path} (mode {mode:04o}): it is not to be trusted",
                remedy="mlxoss install",
            )

    def _refuse_rivals(self) -> None:
        definition = self.definition()
        if definition is not None and definition.homebrew:
            raise ServiceError(
                "the service belongs to Homebrew",
                remedy="Use `brew services start|stop|restart mlxoss`; or "
                "`brew services stop mlxoss`, then `mlxoss install`.",
            )
        if rival := self.supervisor.rival():
            raise ServiceError(
                f"another service runs mlxoss already: {rival}",
                remedy="brew services stop mlxoss",
            )

    def _make_folders(self, spec: ServiceSpec) -> None:
        """Make what a service manager would not, with nobody else let in."""
        for folder in (spec.working_directory, spec.log_file.parent):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.state_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            descriptor = take_lock(self.state_folder / "service.lock", self.lock_s)
        except BlockingIOError:
            message = "another mlxoss command is changing the service; try again"
            raise ServiceError(message) from None
        try:
            yield
        finally:
            os.close(descriptor)
