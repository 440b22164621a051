"""How ``mlxoss serve`` ends when a service manager runs it.

The manager starts the daemon again after every exit but 0. So what starting again cannot
help (a wrong setting, a taken port, a model that is not there, no Metal device) ends with 0,
and its reason stays behind for ``mlxoss status``.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import typer

from mlxoss import paths
from mlxoss.config import Config
from mlxoss.errors import ConfigError, ModelError, StoreError
from mlxoss.exits import LastExit, clear_last_exit, write_last_exit
from mlxoss.service.health import port_problem
from mlxoss.service.logtail import cut

LOG = "mlxoss.log"
SERVICE_LOG = "launchd.log"
"""What the manager writes: the little that is said before our own log is open."""


def serve_supervised(load_config: Callable[[], Config], run: Callable[[Config], int]) -> int:
    """Run the daemon; return the exit code that tells the manager what to do.

    Without ``log_file`` it logs to ``mlxoss.log`` in the log folder.
    """
    state = paths.data_dir()
    try:
        cut(paths.log_dir() / SERVICE_LOG)
        config = _with_log(load_config())
        if problem := port_problem(config.host, config.port):
            return _refuse(state, "port_taken", problem)
        if problem := metal_problem():
            return _refuse(state, "no_metal", problem)
        clear_last_exit(state)
        return run(config)
    except ConfigError as error:
        return _refuse(state, "config", str(error))
    except ModelError as error:
        return _refuse(state, "model", str(error))
    except StoreError as error:
        return _refuse(state, "store", str(error))


def metal_problem() -> str | None:
    """Say why the GPU of a Mac cannot be used; ``None`` where it can, or where there is no Mac."""
    if sys.platform != "darwin":
        return None
    import mlx.core as mx

    if mx.metal.is_available():
        return None
    return f"there is no Metal device (macOS {platform.mac_ver()[0]}, {platform.machine()})"


def _with_log(config: Config) -> Config:
    return config if config.log_file else replace(config, log_file=default_log())


def default_log(folder: Path | None = None) -> Path:
    """Return where the service logs unless told otherwise."""
    return (folder or paths.log_dir()) / LOG


def _refuse(state: Path, code: str, reason: str) -> int:
    write_last_exit(state, LastExit(code, reason, os.getpid(), time.time()))
    typer.echo(f"mlxoss: {reason}", err=True)
    return 0
