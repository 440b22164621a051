"""Waits until a service that was just started answers, or says why it never will."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mlxoss.last_exit import START_ANEW, LastExit
from mlxoss.service.health import Answered, Health
from mlxoss.service.job import Found, Job, JobState
from mlxoss.service.supervisor import Polling

NO_PROGRAM = 78
"""``EX_CONFIG``: launchd could not start the program, or open its log or its folder for it."""


@dataclass(frozen=True, slots=True)
class ServiceReady:
    """``/health`` answers; the model may still be loading."""

    health: Answered


@dataclass(frozen=True, slots=True)
class ServiceNotReady:
    """The service will not answer, or did not in time; ``why`` is one sentence.

    ``loops`` says that its manager starts it over and over, to no avail.
    """

    why: str
    loops: bool = False


def wait_ready(
    query: Callable[[], Found],
    ask: Callable[[], Health],
    last_exit: Callable[[], LastExit | None],
    *,
    limit_s: float = 60.0,
    pace: Polling | None = None,
) -> ServiceReady | ServiceNotReady:
    """Poll the service's own answer; its manager is asked only while there is none.

    An answer counts only when it comes from the service's process (where the answer names
    one): another server may hold the port that the service was refused.
    """
    pace = pace or Polling()
    outcome: list[ServiceReady | ServiceNotReady] = []

    def settled() -> bool:
        health, found = ask(), query()
        if isinstance(health, Answered) and _answers_for(health, found):
            outcome.append(ServiceReady(health))
        elif (why := ended(found, last_exit())) is not None:
            loops = isinstance(found, Job) and found.last_code not in (0, START_ANEW)
            outcome.append(ServiceNotReady(why, loops))
        return bool(outcome)

    if pace.until(settled, limit_s):
        return outcome[0]
    return ServiceNotReady(f"it did not answer within {limit_s:g} s")


def ended(found: Found, last: LastExit | None) -> str | None:
    """Say why the service's process is not there; ``None`` while it is or is being made."""
    if not isinstance(found, Job):
        return "it is not registered"
    if found.alive or found.state is JobState.STOPPING:
        return None
    if found.last_code == 0:
        return (
            f"it refused to start: {last.reason.removesuffix('.')}"
            if last
            else "it ended with exit status 0"
        )
    if found.last_code == NO_PROGRAM:
        return f"launchd could not start it (exit 78): {_what_cannot_be_used(found)}"
    if found.last_code == START_ANEW:
        return "it ended for an upgrade, and will be started anew"
    again = ", it will be started again" if found.state is JobState.WAITING else ""
    return f"it crashed (last exit {found.last_exit or 'unknown'}{again})"


def _what_cannot_be_used(job: Job) -> str:
    """All that 78 can mean: launchd does not tell which it is."""
    program = f"the program {job.program} is missing or must not be run"
    log = f"its log {job.log} cannot be written" if job.log else "its log cannot be written"
    folder = f"its folder {job.folder}" if job.folder else "its working folder"
    return f"{program}, or {log}, or {folder} cannot be entered (removable and closed ones cannot)"


def _answers_for(health: Answered, found: Found) -> bool:
    return isinstance(found, Job) and found.alive and health.pid in (None, found.pid)
