"""What ``mlxoss status`` shows: read from the service, its manager and its process."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mlxoss.cli.status.process import Process, read_process
from mlxoss.cli.this_machine import Machine, this_machine, this_program
from mlxoss.config import Config
from mlxoss.core import JsonMapping
from mlxoss.errors import ConfigError, ServiceError
from mlxoss.service.health import Answered, Silent
from mlxoss.service.job import Job
from mlxoss.service.status import ServiceStatus, Verdict, problems_of, read_status
from mlxoss.tuned import TUNED_FILE

if TYPE_CHECKING:
    from mlxoss.cluster.reach import Reach

YOUNG_S = 10
"""A daemon of that age may still be starting."""


@dataclass(frozen=True, slots=True)
class View:
    """Everything that the screen shows."""

    status: ServiceStatus
    config: Config
    process: Process | None
    config_file: Path
    log: Path
    tuned: str | None = None
    at: float = field(default_factory=time.time)
    reach: Reach | None = None

    @property
    def since(self) -> float | None:
        """When the service's process started (Unix time in seconds, as ``at``)."""
        return self.at - self.process.age_s if self.process else None

    @property
    def is_starting(self) -> bool:
        """Whether it is silent but started only now: loading the vocabulary stops all else."""
        young = self.process is not None and self.process.age_s < YOUNG_S
        return young and isinstance(self.status.health, Silent)

    @property
    def verdict(self) -> Verdict:
        """That of the three sources, but one that has just started need not answer yet."""
        if self.is_starting:
            return Verdict.HEALTHY
        return self.status.verdict

    @property
    def report(self) -> JsonMapping:
        """What ``/health`` said."""
        health = self.status.health
        return health.document if isinstance(health, Answered) else {}

    @property
    def headline(self) -> str:
        """The verdict, with what stands against it."""
        verdict, health = self.status.verdict, self.status.health
        if self.is_starting:
            return "running, starting"
        if verdict is Verdict.HEALTHY:
            words = ["running"] if health_status(self) == "ok" else ["running", health_status(self)]
            if count := len(problems_of(health)):
                words.append(f"with {count} problem{'s' if count > 1 else ''}")
            return ", ".join(words)
        if verdict is Verdict.UNHEALTHY and isinstance(health, Silent):
            return f"running, but it hangs: {health.why}"
        if verdict is Verdict.UNHEALTHY:
            said = health_status(self) or getattr(health, "why", "")
            return f"running, but not healthy: {said}"
        return str(verdict)


def health_status(view: View) -> str:
    """The daemon's own word, ``""`` if it does not answer."""
    return view.status.health.status if isinstance(view.status.health, Answered) else ""


def read_view(patience_s: float = 0.0) -> View:
    """Ask everything that the screen shows; raises ``ServiceError`` where there is no service.

    ``patience_s`` is how much longer a daemon that has just started may take to answer.
    """
    machine = this_machine()
    try:
        config, spoilt = machine.config(), None
    except ConfigError as error:
        config, spoilt = machine.address(), error
    found = read_status(
        machine.manager,
        lambda: machine.ask(config),
        machine.last_exit,
        _program(),
    )
    pid = found.job.pid if isinstance(found.job, Job) else None
    process = read_process(pid) if pid else None
    if spoilt:
        why = f"Its settings are wrong, so it cannot start again: {spoilt}"
        found = replace(found, concerns=(why, *found.concerns))
    reach = None
    if config.hostfile:
        reach, concerns = _about_hosts(config, machine, found)
        found = replace(found, concerns=(*concerns, *found.concerns))
    view = View(found, config, process, machine.config_file.path, machine.log(), reach=reach)
    if patience_s and view.is_starting:
        found = replace(found, health=machine.ask(config, patience_s))
    view = replace(view, status=found)
    return replace(view, tuned=_tuned(config, str(view.report.get("model")), machine.state))


def _tuned(config: Config, model: str, data: Path) -> str | None:
    if not (data / TUNED_FILE).exists():  # what is imported below takes a while
        return None
    from mlxoss.cli.tune.check import show_tuned

    return show_tuned(config, model, data)


def _about_hosts(
    config: Config, machine: Machine, found: ServiceStatus
) -> tuple[Reach | None, list[str]]:
    """What the daemon found of the hosts, and concerns: what it does not tell while it runs."""
    from mlxoss.cli.cluster.hosts import UNSET
    from mlxoss.cluster.group import find_group
    from mlxoss.cluster.reach import REMEDY, UNREACHED, read_reach, tell_unreached

    try:
        group = find_group(config)
    except ConfigError as error:
        return None, [f"It cannot start again: {error} {UNSET}"]
    assert group is not None
    reach = read_reach(machine.state, group.hosts)
    told = [problem.get("code") for problem in problems_of(found.health)]
    if reach is None or not reach.unreached or UNREACHED in told:
        return reach, []
    return reach, [f"{tell_unreached(reach)} {REMEDY}"]


def _program() -> Path | None:
    try:
        return this_program().path
    except ServiceError:
        return None
