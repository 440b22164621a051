"""The checks that ``mlxoss doctor`` makes, in the order in which one depends on another."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from mlxoss import paths
from mlxoss.cli.cluster.hosts import UNSET
from mlxoss.cli.doctor.speed import check_speed
from mlxoss.cli.doctor.system import System, check_system, check_wired, read_system
from mlxoss.cli.memory import weights_bytes
from mlxoss.cli.status.view import View, read_view
from mlxoss.cli.this_machine import (
    Machine,
    closed_folders,
    look_where_it_looks,
    make_spec,
    this_machine,
    this_program,
)
from mlxoss.cli.tune.check import check_tuned
from mlxoss.cluster.group import find_group
from mlxoss.config import Config
from mlxoss.engine.checkpoint.loader import resolve_model
from mlxoss.engine.ranks.shard import shard_bytes
from mlxoss.errors import ConfigError, ModelError, ServiceError
from mlxoss.findings import Check, Level
from mlxoss.service.checks import (
    check_definition,
    check_disk,
    check_login,
    check_logs,
    check_memory,
    check_port,
    check_priority,
    check_problems,
    check_program,
    check_program_in_use,
    check_rival,
    check_service,
    check_variables,
)
from mlxoss.service.job import Job
from mlxoss.service.logtail import rotated
from mlxoss.service.program import Program

_PATIENCE_S = 3.0


def examine(*, speed: bool = False) -> list[Check]:
    """Make all checks; raises ``ServiceError`` where there can be no service at all."""
    machine, view, shell = this_machine(), read_view(_PATIENCE_S), dict(os.environ)
    look_where_it_looks(machine.env)
    program, system = _program(), read_system()
    checks = [*check_system(system), check_program(program)]
    checks += [*_settings(machine), *_hosts(machine), *_model(machine, view, system)]
    checks += [*_service(machine, view, program, shell), *_tools(machine), *_mcp(machine)]
    if speed:
        checks.append(check_speed(machine, view))
    return checks


def _program() -> Program | ServiceError:
    try:
        return this_program()
    except ServiceError as error:
        return error


def _settings(machine: Machine) -> Iterator[Check]:
    path = machine.config_file.path
    try:
        machine.config()
    except ConfigError as error:
        yield Check("settings", Level.FAIL, str(error), "mlxoss config edit")
    else:
        detail = str(path) if path.exists() else f"{path} is not there: defaults"
        yield Check("settings", Level.OK, detail)


def _hosts(machine: Machine) -> Iterator[Check]:
    """Whether the group's hosts can be read of; asking them is ``mlxoss cluster check``."""
    try:
        group = find_group(machine.config())
    except ConfigError as error:
        if error.key == "hostfile":
            yield Check("hostfile", Level.FAIL, str(error), UNSET)
        return
    if group:
        detail = f"{len(group.hosts)} hosts in {group.path}; `mlxoss cluster check` asks them"
        yield Check("hostfile", Level.OK, detail)


def _model(machine: Machine, view: View, system: System) -> Iterator[Check]:
    try:
        config = machine.config()
        source = resolve_model(config.model, env=machine.env)
    except ConfigError:
        yield Check("model", Level.SKIP, "the settings cannot be read")
        return
    except ModelError as error:
        yield Check("model", Level.FAIL, str(error), "mlxoss models list")
        return
    yield Check("model", Level.OK, source.info.name)
    told = view.report.get("memory") or {}
    if source.folder:
        limit = system.limit_bytes(told.get("limit_bytes"))
        yield check_memory(_own_bytes(config, source.folder), limit, system.total_bytes)
    yield check_wired(config.wired, system, told.get("wired_bytes"), told.get("let_go_bytes", 0))
    yield check_tuned(config, source, machine.state)


def _tools(machine: Machine) -> Iterator[Check]:
    """Those that are enabled; nothing of them is imported otherwise."""
    try:
        config = machine.config()
    except ConfigError:  # told already
        return
    if config.tool_python == "on":
        from mlxoss.hosted.python.setup import check_python

        yield from check_python(config, machine.state, paths.cache_dir(machine.env))
    if config.tool_browser != "off":
        from mlxoss.hosted.browser.check import check_browser

        yield check_browser(config, machine.state)


def _mcp(machine: Machine) -> Iterator[Check]:
    try:
        if machine.config().tool_mcp == "off":
            return
    except ConfigError:  # told already
        return
    from mlxoss.hosted.mcp.checks import check_mcp

    yield from check_mcp(machine.env)


def _own_bytes(config: Config, folder: Path) -> int:
    """What of the weights this machine holds."""
    try:
        group = find_group(config)
    except ConfigError:  # told already
        group = None
    if group is None:
        return weights_bytes(folder)
    together = sum(host.is_local for host in group.hosts)
    return shard_bytes(folder, len(group.hosts)) * together


def _folders(machine: Machine, view: View) -> Iterator[Check]:
    """A service that has loaded its model has read what it needs, wherever that lies."""
    if view.report.get("status") == "ok":
        yield Check("folders", Level.OK, "the service reads what it needs")
    else:
        yield from closed_folders(machine, view.config)


def _service(
    machine: Machine, view: View, program: Program | ServiceError, shell: Mapping[str, str]
) -> Iterator[Check]:
    status, supervisor, config = view.status, machine.manager.supervisor, view.config
    definition = status.definition
    if isinstance(program, Program):
        wanted = supervisor.render(
            make_spec(program.path, definition.environment if definition else {})
        )
        homebrew = bool(definition and definition.homebrew)
        yield check_definition(supervisor.definition, wanted, homebrew=homebrew)
    if definition:
        yield check_variables(definition.environment, shell, kept=definition.homebrew)
    yield from _folders(machine, view)
    yield check_program_in_use(status, program)
    yield check_rival(supervisor.rival())
    yield check_login(status)
    yield check_service(status)
    yield from check_problems(status)
    yield check_priority(status)
    ours = isinstance(status.job, Job) and status.job.alive
    yield check_port(config.host, config.port, status.health, ours=ours)
    logs = [*rotated(view.log), *rotated(machine.service_log())]
    yield check_logs(logs)
    yield check_disk(machine.state)
