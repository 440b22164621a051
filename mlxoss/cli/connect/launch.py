"""``mlxoss launch``: a client that uses this server for one run, with nothing written."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from mlxoss.cli.complete import completing

if TYPE_CHECKING:
    from mlxoss.cli.connect.clients.client import Launch
    from mlxoss.cli.connect.facts import Served

RAW = {"ignore_unknown_options": True, "allow_interspersed_args": False}
"""Every word behind the client's name is the client's, options too."""


def _names() -> Iterable[str]:
    from mlxoss.cli.connect.clients.table import CLIENTS

    return (name for name, client in CLIENTS.items() if client.launch)


def launch(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The client.", autocompletion=completing(_names))
    ],
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="[ARGS]", help="What the client is to be given.")
    ] = None,
) -> None:
    """Run a client with this server, with nothing written.

    Its address, model and key go to it in variables and flags. The service is started if it does
    not run. What stands behind NAME is for the client: mlxoss launch claude -p "Hello!"
    """
    from mlxoss.cli.connect.facts import find_served
    from mlxoss.cli.printing import explained
    from mlxoss.config import API_KEY_VARIABLE
    from mlxoss.errors import ConfigError

    make, program = _find(name)
    served = find_served()
    if not served.is_up:
        with explained():
            _start(served)
        served = find_served()
    if served.needs_key and not served.secret:
        raise ConfigError(
            f"The server needs an API key. First: "
            f"export {API_KEY_VARIABLE}=$(mlxoss key create {name})"
        )
    _become(program, make(served), arguments or [])


def _find(name: str) -> tuple[Callable[[Served], Launch], str]:
    """What launches the client, and its program's path. Raises where it cannot be launched."""
    from mlxoss.cli.connect.clients.table import CLIENTS
    from mlxoss.errors import ConfigError, MlxossError

    client = CLIENTS.get(name)
    if client is None:
        names = ", ".join(_names())
        raise ConfigError(f"No client is called {name!r}. There are: {names}.")
    if client.launch is None:
        raise ConfigError(
            f"{client.about} takes its server from a file: mlxoss connect {name} --write"
        )
    if (program := next(filter(None, map(shutil.which, client.programs)), None)) is None:
        raise MlxossError(f"{client.about} is not installed. It comes by: {client.source}")
    return client.launch, program


def _start(served: Served) -> None:
    """Start the service, and wait until it answers. Raises ``ServiceError``."""
    from mlxoss.cli.setup.failed import not_running
    from mlxoss.cli.this_machine import installed_machine
    from mlxoss.errors import ServiceError
    from mlxoss.service.ready import ServiceNotReady

    machine = installed_machine()
    if machine is None:
        raise ServiceError(
            f"No server at {served.url}, and no service is installed to start.",
            remedy="mlxoss install, for every login; or mlxoss serve, in another terminal",
        )
    typer.echo("Starting the service ...", err=True)
    machine.manager.start()
    ready = machine.wait_ready(machine.config())
    if isinstance(ready, ServiceNotReady):
        raise not_running(machine, ready)


def _become(program: str, made: Launch, arguments: Sequence[str]) -> None:
    """Be the client from now on: signals, the terminal and its exit status are its own."""
    from mlxoss.errors import MlxossError

    env = {name: text for name, text in os.environ.items() if name not in made.without}
    words = [program, *made.words, *arguments]
    try:
        os.execve(program, words, env | dict(made.env))  # noqa: S606  # nosec B606
    except OSError as error:
        raise MlxossError(f"{program} cannot be run: {error.strerror}.") from None
