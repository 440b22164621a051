"""``mlxoss serve``: configuration, model, engine and server put together."""

from __future__ import annotations

import os
import time

import typer

from mlxoss import __version__
from mlxoss.cli.options import LoadConfig, with_settings
from mlxoss.config import Config
from mlxoss.daemon import notice
from mlxoss.service.spec import is_supervised

EPILOG = (
    "Every setting may also stand in the configuration file (key: context_length) or in the "
    "environment (MLXOSS_CONTEXT_LENGTH); flags win over the environment, the environment over "
    "the file."
)


@with_settings
def serve(load_config: LoadConfig) -> None:
    """Serve a model behind OpenAI's endpoints until interrupted."""
    typer.echo(notice.started(__version__, os.getpid(), time.time()), err=True)
    if is_supervised(os.environ, os.getpid()):
        from mlxoss.daemon.supervised import serve_supervised

        code = serve_supervised(load_config, _run)
    else:
        code = _run_in_front(load_config())
    from mlxoss.daemon.assemble import leave

    leave(code)


# Imported only here, so that help and wrong flags do not wait for the server's imports.


def _run(config: Config) -> int:
    from mlxoss.daemon.assemble import run

    return run(config)


def _run_in_front(config: Config) -> int:
    from mlxoss.daemon.assemble import run_in_front

    return run_in_front(config)
