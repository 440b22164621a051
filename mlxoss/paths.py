"""Where mlxoss keeps its files.

The folders are the platform's own (platformdirs), unless the environment
variable ``MLXOSS_HOME`` names one folder: then configuration, cache, data and
logs all live under it. Downloaded weights are not among them: they stay in the
Hugging Face cache (``HF_HOME``), which other programs share.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import platformdirs

from mlxoss.errors import ConfigError

_APP = "mlxoss"


def config_file(env: Mapping[str, str] = os.environ) -> Path:
    """The configuration file's usual place; neither it nor its folder need exist."""
    return _folder(env, "config", platformdirs.user_config_path(_APP)) / "config.toml"


def cache_dir(env: Mapping[str, str] = os.environ) -> Path:
    """The folder for what can be made again. It exists on return (else ``ConfigError``)."""
    return make_private_folder(_folder(env, "cache", platformdirs.user_cache_path(_APP)))


def snapshots_dir(env: Mapping[str, str] = os.environ) -> Path:
    """The prefix cache's folder on the disk; it need not exist."""
    return cache_dir(env) / "prefixes"


def data_dir(env: Mapping[str, str] = os.environ) -> Path:
    """The folder for what cannot be made again. It exists on return (else ``ConfigError``)."""
    return make_private_folder(_folder(env, "data", platformdirs.user_data_path(_APP)))


def log_dir(env: Mapping[str, str] = os.environ) -> Path:
    """The folder for log files. It exists on return (else ``ConfigError``)."""
    return make_private_folder(_folder(env, "logs", platformdirs.user_log_path(_APP)))


def pins_file(env: Mapping[str, str] = os.environ) -> Path:
    """The record of pulled models' revisions (``mlxoss.model_pins``); it need not exist."""
    return data_dir(env) / "models.json"


def make_private_folder(folder: Path) -> Path:
    """Make ``folder`` readable by its owner alone (0700) unless it exists already.

    Returns it. Raises ``ConfigError`` naming the folder when it cannot be made.
    """
    try:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"The folder {folder} cannot be made: {error.strerror}.") from error
    return folder


def _folder(env: Mapping[str, str], kind: str, usual: Path) -> Path:
    home = env.get("MLXOSS_HOME")
    return Path(home).expanduser().absolute() / kind if home else usual
