"""The service's state from three sources: its definition, its manager and itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from mlxoss.errors import ServiceError
from mlxoss.last_exit import LastExit
from mlxoss.service.health import Answered, Health
from mlxoss.service.job import Absent, Found, Job, JobState, Unknown
from mlxoss.service.manager import Manager
from mlxoss.service.ready import ended
from mlxoss.service.spec import Definition
from mlxoss.service.supervisor import Supervisor


class Verdict(StrEnum):
    """The one word, and through ``EXIT_STATUS`` the number, that a script needs."""

    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    STOPPED = "not running"
    NOT_INSTALLED = "not installed"
    UNKNOWN = "unknown"


EXIT_STATUS = {
    Verdict.HEALTHY: 0,
    Verdict.UNHEALTHY: 1,
    Verdict.STOPPED: 3,
    Verdict.NOT_INSTALLED: 3,
    Verdict.UNKNOWN: 4,
}


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """Everything known at one moment.

    ``concerns`` are sentences: why it does not run, and what in the set-up will not work.
    """

    manager: str
    path: Path
    definition: Definition | None
    job: Found
    disabled: bool
    health: Health
    last_exit: LastExit | None
    concerns: tuple[str, ...]

    @property
    def verdict(self) -> Verdict:
        """What the three sources amount to."""
        match self.job:
            case Unknown():
                return Verdict.UNKNOWN
            case Job() if self.job.alive:
                well = isinstance(self.health, Answered) and self.health.status != "failed"
                return Verdict.HEALTHY if well else Verdict.UNHEALTHY
            case _:
                return Verdict.STOPPED if self.definition else Verdict.NOT_INSTALLED


def read_status(
    manager: Manager,
    ask: Callable[[], Health],
    last_exit: Callable[[], LastExit | None],
    program: Path | None,
) -> ServiceStatus:
    """Ask all three at once, so that it takes as long as the slowest alone.

    ``program`` is the path that an installation would write now. Never raises
    ``ServiceError``: what cannot be told is ``Unknown``.
    """
    supervisor = manager.supervisor
    with ThreadPoolExecutor(3) as pool:
        health, job = pool.submit(ask), pool.submit(supervisor.query)
        disabled = pool.submit(_is_disabled, supervisor)
        definition, last, found = manager.definition(), last_exit(), job.result()
    if disabled.result() and definition and isinstance(found, Absent):
        concerns = ["It is disabled at login: `mlxoss start` enables and starts it."]
    else:
        concerns = _job_concerns(found, definition, last)
        if disabled.result():
            concerns.append("It is disabled at login: `mlxoss start` enables it.")
    concerns += _path_concerns(definition, program)
    concerns += _drift(found, supervisor.definition, health.result())
    return ServiceStatus(
        manager=supervisor.name,
        path=supervisor.definition,
        definition=definition,
        job=found,
        disabled=disabled.result(),
        health=health.result(),
        last_exit=last,
        concerns=tuple(concerns),
    )


def problems_of(health: Health) -> list[Mapping[str, Any]]:
    """What the daemon says is wrong although it serves (``mlxoss.findings.DaemonProblem`` each)."""
    found = health.document.get("problems") if isinstance(health, Answered) else None
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _is_disabled(supervisor: Supervisor) -> bool:
    try:
        return supervisor.is_disabled()
    except ServiceError:
        return False


def _job_concerns(found: Found, definition: Definition | None, last: LastExit | None) -> list[str]:
    match found:
        case Unknown(why):
            return [f"The service manager cannot tell: {why}."]
        case Job(state=JobState.STOPPING):
            return ["It is stopping."]
        case Job() if not found.alive and found.runs:
            return [f"It does not run: {ended(found, last)}."]
        case Job():
            return []
        case _ if definition and found.why:
            return [f"It is not loaded: {found.why}."]
        case _ if definition:
            return [
                "It is installed but not loaded: stopped with `mlxoss stop`, switched off in "
                "System Settings > General > Login Items, or removed after it failed to start. "
                "`mlxoss start` loads it."
            ]
        case _:
            return ["`mlxoss install` has it served at every login."]


def _path_concerns(definition: Definition | None, program: Path | None) -> list[str]:
    if definition is None:
        return []
    if definition.homebrew:
        return ["Homebrew keeps this service: use `brew services` to start and stop it."]
    if not Path(definition.program).exists():
        return [f"Its program is gone: {definition.program}. `mlxoss install` mends that."]
    if program is not None and str(program) != definition.program:
        return [f"It runs {definition.program}, and this command is {program}."]
    return []


def _drift(found: Found, path: Path, health: Health) -> list[str]:
    if not isinstance(found, Job):
        if isinstance(health, Answered):
            return ["Another mlxoss, not the service, answers at the address."]
        return []
    concerns = []
    if found.definition and Path(found.definition).resolve() != path.resolve():
        concerns.append(f"It was loaded from {found.definition}. `mlxoss restart` mends that.")
    if isinstance(health, Answered) and found.pid and health.pid not in (None, found.pid):
        concerns.append("Another mlxoss, not the service, answers at the address.")
    return concerns
