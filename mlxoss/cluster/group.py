"""The group of hosts that the settings ask for."""

from __future__ import annotations

from pathlib import Path

from mlxoss.cluster.hostfile import BACKENDS, Hostfile, read_hostfile
from mlxoss.config import Config


def find_group(config: Config) -> Hostfile | None:
    """The hosts of a configuration, ``None`` for one machine alone. Raises ``ConfigError``."""
    return read_hostfile(config.hostfile, config.backend) if config.hostfile else None


def backend_of(group: Hostfile, config: Config) -> str:
    """What the hosts are connected by."""
    return config.backend or group.backend or BACKENDS[0]


def for_all(model: str | None) -> str | None:
    """A folder by its whole path, but for ``~``, which every machine reads for itself."""
    if model is None or model.startswith("~") or not Path(model).is_dir():
        return model
    return str(Path(model).resolve())
