"""``--hostfile``: the ranks that it describes, as the engine wants them."""

from __future__ import annotations

import os

from mlxoss.cluster.group import backend_of, for_all
from mlxoss.cluster.hostfile import Hostfile, read_hostfile
from mlxoss.cluster.hosts import foreign_ips
from mlxoss.config import Config
from mlxoss.engine.ranks.values import Plan
from mlxoss.errors import ConfigError


def read_plan(config: Config) -> Plan | None:
    """The ranks that the settings ask for, ``None`` without a hostfile.

    Puts the hostfile's variables into this process's environment, where MLX will look for them.
    Raises ``ConfigError``.
    """
    if config.hostfile is None:
        if config.backend is not None:
            raise _refuse("backend", "is what several hosts are connected by: give a hostfile too")
        return None
    if config.fp16:
        raise _refuse("fp16", "cannot be had with a hostfile: each host would try it by itself")
    hostfile = read_hostfile(config.hostfile, config.backend)
    _check_first(hostfile)
    envs = dict(each.split("=", 1) for each in hostfile.envs)
    os.environ.update(envs)
    return Plan(
        hosts=hostfile.hosts,
        backend=backend_of(hostfile, config),
        timeout_s=float(config.rank_timeout),
        envs=envs,
        model=for_all(config.model),
        memory_limit=config.memory_limit,
        prefix_bytes=config.prefix_cache_bytes,
        wired=config.wired,
        command_buffers=config.command_buffers,
    )


def _check_first(hostfile: Hostfile) -> None:
    first = hostfile.hosts[0]
    for ip in foreign_ips(first):
        raise ConfigError(
            f"The first host of {hostfile.path} must be this machine, and {ip} is no address of "
            f"it: run this on {first.ssh}, or list this machine first.",
            key="hostfile",
            source=str(hostfile.path),
        )


def _refuse(key: str, why: str) -> ConfigError:
    return ConfigError(f"{key} {why}.", key=key)
