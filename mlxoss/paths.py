"""Where mlxoss keeps its files.

The folders are the platform's own (platformdirs), unless the environment variable ``MLXOSS_HOME``
names one folder: then configuration, cache, data and logs all live under it. Downloaded weights are
not among them: they stay in the Hugging Face cache (``HF_HOME``), which other programs share.

Variables are those of ``env`` alone, so that a command can look where a daemon with another
environment looks.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from platformdirs.macos import MacOS
from platformdirs.unix import Unix

from mlxoss.denied import why
from mlxoss.errors import ConfigError

_APP = "mlxoss"


_KINDS = {"config": "config", "cache": "cache", "data": "data", "logs": "log"}
"""Our folders, each by what platformdirs calls it."""

_XDG = ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")
_environ_lock = threading.Lock()

FOLDER_VARIABLES = (
    *("MLXOSS_HOME", "MLXOSS_CONFIG"),
    *_XDG,
    *("HF_HOME", "HF_HUB_CACHE"),
)
"""All that move a folder that is read or written."""


def config_file(env: Mapping[str, str] = os.environ) -> Path:
    """The configuration file's usual place; neither it nor its folder need exist."""
    return _folder(env, "config") / "config.toml"


def mcp_file(env: Mapping[str, str] = os.environ) -> Path:
    """The file that names MCP servers (``mlxoss.hosted.mcp.settings_file``); it need not exist."""
    return _folder(env, "config") / "mcp.json"


def cache_dir(env: Mapping[str, str] = os.environ) -> Path:
    """The folder for what can be made again. It exists on return (else ``ConfigError``)."""
    return make_private_folder(_folder(env, "cache"))


def snapshots_dir(env: Mapping[str, str] = os.environ) -> Path:
    """The prefix cache's folder on the disk; it need not exist."""
    return cache_dir(env) / "prefixes"


def prefix_table(env: Mapping[str, str] = os.environ) -> Path:
    """The file that says which prefixes are used most; it need not exist."""
    return cache_dir(env) / "prefixes.json"


def data_dir(env: Mapping[str, str] = os.environ) -> Path:
    """The folder for what cannot be made again. It exists on return (else ``ConfigError``)."""
    return make_private_folder(_folder(env, "data"))


def log_dir(env: Mapping[str, str] = os.environ) -> Path:
    """The folder for log files. It exists on return (else ``ConfigError``)."""
    return make_private_folder(_folder(env, "logs"))


def pins_file(env: Mapping[str, str] = os.environ) -> Path:
    """The record of pulled models' revisions (``mlxoss.model_pins``); it need not exist."""
    return data_dir(env) / "models.json"


def hub_cache(env: Mapping[str, str] = os.environ) -> Path:
    """The Hugging Face cache, as huggingface_hub finds it; it need not exist."""
    if named := env.get("HF_HUB_CACHE"):
        return _expanded(named)
    if named := env.get("HF_HOME"):
        return _expanded(named) / "hub"
    shared = env.get("XDG_CACHE_HOME")
    return (_expanded(shared) if shared else Path.home() / ".cache") / "huggingface" / "hub"


def folders(env: Mapping[str, str]) -> dict[str, Path]:
    """Every place that ``env`` decides, by what is there; none need exist."""
    named = env.get("MLXOSS_CONFIG")
    return {
        "settings": Path(named).expanduser() if named else config_file(env),
        "keys and state": _folder(env, "data"),
        "the prefix cache": _folder(env, "cache"),
        "logs": _folder(env, "logs"),
        "models": hub_cache(env),
    }


def make_private_folder(folder: Path) -> Path:
    """Make ``folder`` readable by its owner alone (0700) unless it exists already.

    Returns it. Raises ``ConfigError`` naming the folder when it cannot be made.
    """
    try:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"The folder {folder} cannot be made: {why(error)}.") from error
    return folder


def _folder(env: Mapping[str, str], kind: str) -> Path:
    if home := env.get("MLXOSS_HOME"):
        return Path(home).expanduser().absolute() / kind
    platform = MacOS if sys.platform == "darwin" else Unix
    with _xdg_of(env):
        found: Path = getattr(platform(_APP), f"user_{_KINDS[kind]}_path")
    return found


@contextmanager
def _xdg_of(env: Mapping[str, str]) -> Iterator[None]:
    """Have platformdirs, which reads the process's variables alone, read those of ``env``."""
    if env is os.environ:
        yield
        return
    with _environ_lock:
        own = {name: os.environ.get(name) for name in _XDG}
        _set({name: env.get(name) for name in _XDG})
        try:
            yield
        finally:
            _set(own)


def _set(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _expanded(named: str) -> Path:
    return Path(os.path.expandvars(named)).expanduser()
