"""What the service is, whoever supervises it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

LABEL = "org.mlxoss.daemon"
"""The service's name under launchd, shared with the Homebrew formula so that there is but one."""

ABOUT = "GPT-OSS on MLX behind OpenAI's endpoints"

INHERITED = (
    *("HF_HOME", "HF_HUB_CACHE", "HF_ENDPOINT", "HF_HUB_OFFLINE"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"),
    *("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"),
    *("MLXOSS_HOME", "MLXOSS_CONFIG"),
)
"""Variables of the shell that say where models, proxies and settings are: a service manager
passes none of them on, so installing copies those that are set."""


_PATHS = {"MLXOSS_HOME", "MLXOSS_CONFIG", "HF_HOME", "HF_HUB_CACHE", "SSL_CERT_FILE"}
"""Those of them that count from the working folder (the XDG ones do not count then at all)."""


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """One daemon in the foreground, as a service manager is to run it.

    ``program`` is absolute and stays valid across upgrades (``mlxoss.service.program``);
    every path is expanded, since nothing in a service's definition ever is. ``environment``
    is visible to anyone who may print the service: no secrets. ``exit_timeout_s`` lies
    between the request to stop and the kill, so it must exceed the daemon's drain time.
    """

    program: Path
    working_directory: Path
    log_file: Path
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    arguments: tuple[str, ...] = ("serve",)
    label: str = LABEL
    exit_timeout_s: int = 30
    open_files: int = 8192
    umask: int = 0o077


@dataclass(frozen=True, slots=True)
class Definition:
    """What an installed definition says, read back from its file.

    ``homebrew`` is true for a file that ``brew services`` wrote under the same label.
    """

    program: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    homebrew: bool = False


def make_environment(
    program: Path,
    shell: Mapping[str, str],
    *,
    kept: Mapping[str, str] = MappingProxyType({}),
    chosen: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, str]:
    """Return the daemon's environment, sorted by name.

    ``shell`` is the environment of the person who installs (only ``INHERITED`` is taken,
    and no value that carries a password), ``kept`` what an earlier installation had,
    ``chosen`` what was asked for this time; an empty value there takes the variable away.
    """
    folders = [str(program.parent), "/opt/homebrew/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"]
    made = {"LANG": "en_US.UTF-8", "PYTHONUNBUFFERED": "1"}
    made |= {name: value for name, value in kept.items() if name != "PATH"}
    made |= {
        name: _whole(name, shell[name])
        for name in INHERITED
        if shell.get(name) and not _secret(shell[name])
    }
    made |= {"PATH": ":".join(dict.fromkeys(folders)), **chosen}
    return {name: made[name] for name in sorted(made) if made[name]}


def is_supervised(env: Mapping[str, str], pid: int) -> bool:
    """Tell whether this process was started as the service, by either manager.

    launchd names the service to it (a terminal has another service's name there, or
    ``0``), systemd the pid that it started (``systemd.exec(5)``).
    """
    return env.get("XPC_SERVICE_NAME") == LABEL or env.get("SYSTEMD_EXEC_PID") == str(pid)


def _whole(name: str, value: str) -> str:
    """A path as it is meant here: a service has another working folder."""
    if name not in _PATHS or value.startswith(("~", "$")):
        return value
    return os.path.abspath(value)


def _secret(value: str) -> bool:
    """Tell whether an address carries a user's name or password (``http://me:secret@proxy``)."""
    return "://" in value and "@" in value
