"""Which group of hosts a command is about: what was asked for, over the settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from mlxoss.checks import Check
from mlxoss.cli.options import read_config
from mlxoss.cluster.hostfile import BACKENDS, Hostfile, read_hostfile
from mlxoss.cluster.hosts import Host
from mlxoss.config import Config
from mlxoss.errors import ConfigError

UNSET = "Put it back, or serve from this machine alone: mlxoss config set hostfile ''"
"""What to do about a hostfile that cannot be used."""


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
    flags = {"hostfile": asked.argument or asked.hostfile, "model": asked.model}
    config = read_config(flags)
    if config.hostfile is None:
        message = (
            "There is no hostfile: name one, or set it with `mlxoss config set hostfile FILE`."
        )
        raise ConfigError(message, key="hostfile")
    if asked.backend not in (None, *BACKENDS):
        message = f"--backend must be one of {', '.join(BACKENDS)}, not {asked.backend!r}."
        raise ConfigError(message, key="--backend", source="command line")
    found = read_hostfile(config.hostfile, asked.backend)
    return found, asked.backend or found.backend or BACKENDS[0], _absolute(config.model)


def find_group(config: Config) -> Hostfile | None:
    """The hosts of a configuration, ``None`` for one machine alone. Raises ``ConfigError``."""
    return read_hostfile(config.hostfile) if config.hostfile else None


def check_hosts(group: Hostfile, model: str | None, say: Callable[[str], None]) -> list[Check]:
    """Ask every host whether it is fit, without measuring links; each check says whose it is."""
    from mlxoss.cluster.check import check_cluster

    say(f"Asking {len(group.hosts)} hosts ...")
    backend = group.backend or BACKENDS[0]
    found = check_cluster(group, backend, _absolute(model), links=False)
    return [_named(group.hosts[each.rank], each.check) for each in found.findings]


def _named(host: Host, check: Check) -> Check:
    return replace(check, name=f"{host}: {check.name}", detail=f"{host}: {check.detail}")


def _absolute(model: str | None) -> str | None:
    """The model as it is named to other hosts: a folder counts from theirs otherwise."""
    if model and (folder := Path(model).expanduser()).is_dir():
        return str(folder.absolute())
    return model
