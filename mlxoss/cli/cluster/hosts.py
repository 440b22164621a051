"""Which group of hosts a command is about: what was asked for, over the settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from mlxoss import paths
from mlxoss.cli.options import read_config
from mlxoss.cli.this_machine import command_env
from mlxoss.cluster.check import Finding
from mlxoss.cluster.group import backend_of, find_group, for_all
from mlxoss.cluster.hostfile import Hostfile
from mlxoss.config import Config
from mlxoss.errors import ConfigError, ServiceError
from mlxoss.findings import Check

UNSET = "Put it back, or serve from this machine alone: mlxoss config set hostfile ''"
"""What to do about a hostfile that cannot be used."""

LOCAL_NETWORK = (
    "Note: macOS 15 and newer may keep the service from hosts that this terminal gets to, until it "
    "is allowed in System Settings > Privacy & Security > Local Network. It tries each when it "
    "starts: `mlxoss status` shows what it found."
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line says; ``None`` was not given."""

    argument: str | None
    hostfile: str | None
    model: str | None
    backend: str | None


def find_cluster(asked: Asked) -> tuple[Hostfile, str, str | None]:
    """The hosts, the backend and the model to check. Raises ``ConfigError``."""
    if asked.argument and asked.hostfile:
        message = "Name the hostfile once: as an argument or with --hostfile."
        raise ConfigError(message, key="--hostfile", source="command line")
    hostfile = asked.argument or asked.hostfile
    flags = {"hostfile": hostfile, "model": asked.model, "backend": asked.backend}
    config = read_config(flags, env=command_env())
    group = find_group(config)
    if group is None:
        message = "There is no hostfile: give one, or `mlxoss config set hostfile FILE`."
        raise ConfigError(message, key="hostfile")
    return group, backend_of(group, config), for_all(config.model)


def what_the_service_found(group: Hostfile) -> list[Finding]:
    """Whether the daemon itself gets to the hosts, by what it last found."""
    from mlxoss.cli.this_machine import this_machine
    from mlxoss.cluster.reach import judge_reach, read_reach

    try:
        folder = this_machine().state
    except ServiceError:  # no service manager: the daemon in the foreground has it there
        folder = paths.data_dir()
    found = judge_reach(group.hosts, read_reach(folder, group.hosts))
    return [Finding(rank, check) for rank, check in found]


def check_hosts(group: Hostfile, config: Config, say: Callable[[str], None]) -> list[Check]:
    """Ask every host whether it is fit, without measuring links; each check says whose it is."""
    from mlxoss.cluster.check import check_cluster

    say(f"Asking {len(group.hosts)} hosts ...")
    backend, model = backend_of(group, config), for_all(config.model)
    found = check_cluster(group, backend, model, links=False)
    return [
        replace(each.check, detail=f"{group.hosts[each.rank]}: {each.check.detail}")
        for each in found.findings
    ]
