"""``mlxoss install``: checks first, then the settings, then the service."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import typer

from mlxoss import __version__, paths
from mlxoss.cli.cluster.hosts import LOCAL_NETWORK, check_hosts
from mlxoss.cli.memory import memory_limits, weights_bytes
from mlxoss.cli.printing import fitted, tilde
from mlxoss.cli.setup.failed import give_up
from mlxoss.cli.this_machine import (
    Machine,
    closed_folders,
    look_where_it_looks,
    make_spec,
    this_machine,
    this_program,
)
from mlxoss.cluster.group import find_group
from mlxoss.config import ENV_PREFIX, Config, settings
from mlxoss.daemon.reach import check_reach
from mlxoss.daemon.upgrade import UPGRADED
from mlxoss.engine.checkpoint.loader import ModelSource, resolve_model
from mlxoss.errors import ConfigError, ModelDenied, ModelError, ServiceError
from mlxoss.findings import Check, Level
from mlxoss.service.checks import (
    check_disk,
    check_memory,
    check_port,
    check_program,
)
from mlxoss.service.config_edit import change_config_file
from mlxoss.service.health import Answered
from mlxoss.service.job import Job
from mlxoss.service.manager import Outcome
from mlxoss.service.program import Program
from mlxoss.service.ready import ServiceNotReady, ServiceReady
from mlxoss.service.spec import ServiceSpec
from mlxoss.service.status import problems_of
from mlxoss.tuned import TUNED_FILE

_PATIENCE_S = 10.0
"""For a service that runs: one that loads or computes may take its time to answer."""

_SECRET_NAME = re.compile(r"TOKEN|SECRET|PASSW|API_?KEY|CREDENTIAL", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class InstallOptions:
    """What was asked for: settings as texts, variables, and whether to start and to pull."""

    flags: Mapping[str, object]
    variables: Mapping[str, str]
    start: bool = True
    yes: bool = False


def parse_variables(entries: list[str]) -> dict[str, str]:
    """Read ``--env NAME=VALUE``; an empty value takes the variable away."""
    found = {}
    for entry in entries:
        name, equals, value = entry.partition("=")
        if not equals or not name.isidentifier() or "\0" in value or "\n" in value:
            message = f"--env must be NAME=VALUE, not {entry!r}."
            raise ConfigError(message, key="--env", source="command line")
        if _SECRET_NAME.search(name) and value:
            message = (
                f"{name} looks like a secret: others can read what a service is started with. "
                "The daemon needs none; `mlxoss key create` makes the keys of its callers."
            )
            raise ConfigError(message, key="--env", source="command line")
        found[name] = value
    return found


def install(options: InstallOptions, say: Callable[[str], None]) -> dict[str, object]:
    """Do it, and return what became of it as JSON values.

    ``say`` gets the lines for people. Raises ``MlxossError`` before anything was touched if a
    check fails.
    """
    before = this_machine()
    found = this_program()
    spec = make_spec(found.path, _kept(before), options.variables)
    machine = Machine(before.manager, spec.environment)
    config = machine.config(options.flags)
    _check(machine, before, config, found, options, say)
    changed = change_config_file(machine.config_file.path, _changes(options.flags))
    if changed:
        say(f"wrote {tilde(machine.config_file.path)}")
    is_old = options.start and _is_old(before, say)
    outcome = machine.manager.install(spec, start=options.start, must_restart=changed or is_old)
    _report(outcome, say)
    if not changed and not outcome.done:
        say("Nothing to change: the service is installed and runs as asked.")
    if config.hostfile and machine.manager.supervisor.name == "launchd":
        say(LOCAL_NETWORK)
    for note in moved(before.env, spec.environment):
        say(note)
    for name in unheeded(os.environ, spec):
        say(f"Note: {name} is set in this shell and does not reach the service.")
    ready = _await(machine, config, say) if options.start else None
    if ready is None:
        say("It starts at the next login, or with `mlxoss start`.")
    elif _may_be_tuned(config, machine):
        say("Faster? mlxoss tune measures what this machine likes best, in a minute or two.")
    return {
        "settings_changed": changed,
        **asdict(outcome),
        "definition": str(machine.manager.supervisor.definition),
        "address": f"{config.url}/v1",
        "config_file": str(machine.config_file.path),
        "log": str(machine.log()),
        "health": dict(ready.health.document) if ready else None,
    }


def moved(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What a service with other variables than before no longer finds where it was."""
    old, new = paths.folders(before), paths.folders(now)
    return [
        f"Note: {what}: now in {tilde(new[what])}; it was {tilde(old[what])}, and stays there."
        for what in new
        if new[what] != old[what] and old[what].exists()
    ]


def _is_old(machine: Machine, say: Callable[[str], None]) -> bool:
    """Whether the service serves from what was installed before an upgrade."""
    try:
        health = machine.ask(machine.address(), _PATIENCE_S)
    except ConfigError:
        return False
    if not isinstance(health, Answered):
        return False
    version = health.document.get("version", __version__)
    is_noted = any(problem.get("code") == UPGRADED for problem in problems_of(health))
    if version == __version__ and not is_noted:
        return False
    say(f"The service runs mlxoss {version} as it was before an upgrade: it starts anew.")
    return True


def _may_be_tuned(config: Config, machine: Machine) -> bool:
    """Whether ``mlxoss tune`` has something to find: not of the demo, nor among several hosts."""
    is_one_host = config.model is not None and config.hostfile is None
    return is_one_host and config.tuned == "on" and not (machine.state / TUNED_FILE).exists()


def unheeded(shell: Mapping[str, str], spec: ServiceSpec) -> list[str]:
    """Return the settings that this shell's environment has and the service's has not."""
    own = {setting.variable for setting in settings().values()}
    names = (name for name in shell if name.startswith(ENV_PREFIX) and name in own)
    return sorted(name for name in names if spec.environment.get(name) != shell[name])


def _kept(machine: Machine) -> Mapping[str, str]:
    definition = machine.manager.definition()
    return definition.environment if definition and not definition.homebrew else {}


def _changes(flags: Mapping[str, object]) -> dict[str, object | None]:
    """The flags that were given, as values. A model's folder does not move with the daemon's."""
    changes: dict[str, object | None] = {}
    for name, value in flags.items():
        if isinstance(value, str):
            changes[name] = settings()[name].kind.read(value)
        elif value is not None:
            changes[name] = value
    model = changes.get("model")
    if isinstance(model, str) and Path(model).expanduser().is_dir():
        changes["model"] = str(Path(model).expanduser().absolute())
    return changes


def _check(
    machine: Machine,
    before: Machine,
    config: Config,
    found: Program,
    options: InstallOptions,
    say: Callable[[str], None],
) -> None:
    """Raise ``ServiceError`` with everything that speaks against it, or a ``ConfigError``."""
    check_reach(config, machine.state)
    group = find_group(config)
    source = _find_model(config, machine, options, say)
    checks = [check_program(found), _check_port(before, config), check_disk(machine.state)]
    checks += closed_folders(machine, config)
    if group:
        checks += check_hosts(group, config, say)
    elif source.folder:
        checks.append(_check_memory(source))
    for check in checks:
        if check.level is Level.WARN:
            warning = f"Warning: {check.name}: {check.detail}. {check.remedy or ''}".rstrip()
            say(fitted(warning, indent=2, terminal=sys.stdout.isatty()))
    failed = [check for check in checks if check.level is Level.FAIL]
    if failed:
        raise ServiceError("; ".join(c.detail for c in failed), remedy=_remedies(failed))


def _remedies(failed: list[Check]) -> str | None:
    return "\n  ".join(check.remedy for check in failed if check.remedy) or None


def _check_port(before: Machine, config: Config) -> Check:
    """The port is ours if the running service was told to take it."""
    job = before.manager.supervisor.query()
    if not (isinstance(job, Job) and job.alive):
        return check_port(config.host, config.port, before.ask(config), ours=False)
    health = before.ask(config, _PATIENCE_S)
    ours = getattr(health, "pid", None) in (None, job.pid)
    return check_port(config.host, config.port, health, ours=ours)


def _check_memory(source: ModelSource) -> Check:
    assert source.folder is not None
    limit, total = memory_limits()
    return check_memory(weights_bytes(source.folder), limit, total)


def _find_model(
    config: Config, machine: Machine, options: InstallOptions, say: Callable[[str], None]
) -> ModelSource:
    """Find the model; offer to pull one that is named by its id and is not here."""
    look_where_it_looks(machine.env)
    try:
        return resolve_model(config.model, env=machine.env)
    except ModelDenied:
        raise
    except ModelError:
        if not config.model or "/" not in config.model or Path(config.model).is_absolute():
            raise
        if not (options.yes or (sys.stdin.isatty() and _wanted(config.model))):
            raise
    from mlxoss.awake import awake_while
    from mlxoss.hub.cache import Hub
    from mlxoss.hub.pull import pull

    with awake_while(is_on=config.keep_awake == "on"):
        pull(Hub(), config.model, "main", pins=paths.pins_file(machine.env), tell=say)
    return resolve_model(config.model, env=machine.env)


def _wanted(model: str) -> bool:
    return typer.confirm(f"{model} is not on this machine. Pull it?", default=True)


def _report(outcome: Outcome, say: Callable[[str], None]) -> None:
    for line in (*outcome.done, *outcome.notes):
        say(tilde(line) if line.startswith("/") else line.replace(str(Path.home()), "~"))


def _await(machine: Machine, config: Config, say: Callable[[str], None]) -> ServiceReady:
    """Wait for the answer and say where things are. The model may still be loading."""
    ready = machine.wait_ready(config)
    if isinstance(ready, ServiceNotReady):
        raise give_up(machine, ready)
    model = ready.health.document.get("model", "the model")
    say(f"\n{model} is served at {config.url}/v1 ({ready.health.status}).")
    say(f"  settings  {tilde(machine.config_file.path)}")
    say(f"  log       {tilde(machine.log())}")
    say("Next: mlxoss status, or mlxoss chat 'Hello!'")
    return ready
