"""What a service manager knows of the service, in one vocabulary for all of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class JobState(StrEnum):
    """Where the service's process is in its life."""

    RUNNING = "running"
    STARTING = "starting"
    WAITING = "waiting to be restarted"
    STOPPING = "stopping"
    ENDED = "not running"


@dataclass(frozen=True, slots=True)
class Job:
    """The service is registered.

    ``last_exit`` describes how the *previous* process ended (``0``, ``78: EX_CONFIG``,
    ``Killed: 9``; ``None`` if none has), ``last_code`` is its exit status if it ended by
    itself. ``runs`` counts starts since registration. ``definition``, ``program``, ``log``
    (the file that takes stderr) and ``folder`` (the working one) are what the manager
    imported, which an edited file does not change. ``where`` names the manager's domain.
    """

    state: JobState
    pid: int | None = None
    runs: int = 0
    last_exit: str | None = None
    last_code: int | None = None
    definition: str | None = None
    program: str | None = None
    log: str | None = None
    folder: str | None = None
    where: str = ""
    priority: str | None = None

    @property
    def alive(self) -> bool:
        """Whether a process exists or is being made."""
        return self.pid is not None or self.state in (JobState.RUNNING, JobState.STARTING)


@dataclass(frozen=True, slots=True)
class Absent:
    """The service is not registered; ``why`` when there is more to say than that."""

    why: str | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """The manager could not be asked."""

    why: str


Found = Job | Absent | Unknown
