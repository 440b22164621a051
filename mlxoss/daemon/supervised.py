"""How ``mlxoss serve`` ends when a service manager runs it.

The manager starts the daemon again after every exit but 0. So what starting again cannot
help (a wrong setting, a taken port, a model that is not there) ends with 0, and its reason stays
behind for ``mlxoss status``.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import typer

from mlxoss import paths
from mlxoss.config import Config
from mlxoss.errors import ConfigError, ModelError, ServiceError, StoreError
from mlxoss.last_exit import LastExit, clear_last_exit, write_last_exit
from mlxoss.service.logtail import cut
from mlxoss.sockets import port_problem

logger = logging.getLogger(__name__)

LOG = "mlxoss.log"
SERVICE_LOG = "launchd.log"
"""What the manager writes: the little that is said before our own log is open."""


def serve_supervised(load_config: Callable[[], Config], run: Callable[[Config], int]) -> int:
    """Run the daemon; return the exit code that tells the manager what to do.

    Without ``log_file`` it logs to ``mlxoss.log`` in the log folder.
    """
    try:
        state = paths.data_dir()
    except ConfigError as error:
        return _refuse(None, "config", str(error))
    try:
        _open_logs()
        config = _with_log(load_config())
        if problem := port_problem(config.host, config.port):
            return _refuse(state, "port_taken", problem)
        with suppress(OSError):
            clear_last_exit(state)
        return run(config)
    except ConfigError as error:
        return _refuse(state, "config", str(error))
    except ModelError as error:
        return _refuse(state, "model", str(error))
    except StoreError as error:
        return _refuse(state, "store", str(error))
    except ServiceError as error:  # taken since it was tried
        return _refuse(state, "port_taken", str(error))


def _open_logs() -> None:
    """Log from here on to our own file, also what is wrong with the settings."""
    from mlxoss.logs import set_up_logging

    with suppress(OSError):  # it is only too long
        cut(paths.log_dir() / SERVICE_LOG)
    set_up_logging("info", default_log())


def _with_log(config: Config) -> Config:
    return config if config.log_file else replace(config, log_file=default_log())


def default_log(folder: Path | None = None) -> Path:
    """Return where the service logs unless told otherwise."""
    return (folder or paths.log_dir()) / LOG


def _refuse(state: Path | None, code: str, reason: str) -> int:
    """Leave the reason where it can be left; whatever happens there, the exit code is 0."""
    logger.error("%s", reason)
    with suppress(OSError):
        if state:
            write_last_exit(state, LastExit(code, reason, os.getpid(), time.time()))
    typer.echo(f"mlxoss: {reason}", err=True)
    return 0
