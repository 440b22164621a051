"""The commands that install, start and stop the service. They parse, call and print."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from mlxoss.cli.options import with_setting_flags
from mlxoss.cli.printing import explained

if TYPE_CHECKING:
    from mlxoss.cli.this_machine import Machine
    from mlxoss.service.manager import Outcome

_ENV = Annotated[
    list[str] | None,
    typer.Option("--env", metavar="NAME=VALUE", help="Set a variable for the service (repeat)."),
]
_NO_START = Annotated[bool, typer.Option("--no-start", help="Do not start it now.")]
_YES = Annotated[bool, typer.Option("--yes", "-y", help="Pull a missing model without asking.")]
_PURGE = Annotated[
    bool, typer.Option("--purge", help="Remove settings, logs and state as well; asks first.")
]
_SURE = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
_DISABLE = Annotated[bool, typer.Option("--disable", help="Not at the next login either.")]
_JSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@with_setting_flags
def install(
    env: _ENV = None,
    no_start: _NO_START = False,
    yes: _YES = False,
    as_json: _JSON = False,
    **flags: object,
) -> None:
    """Have the model served after every login, and start it now.

    Everything is checked before anything is touched. Settings that are given here go to
    the configuration file. A second run changes nothing; a changed option restarts it.
    """
    from mlxoss.cli.setup.install import InstallOptions, parse_variables
    from mlxoss.cli.setup.install import install as run

    with explained():
        options = InstallOptions(flags, parse_variables(env or []), not no_start, yes)
        installed = run(options, _aside if as_json else typer.echo)
    if as_json:
        typer.echo(json.dumps(installed))


def _aside(text: str) -> None:
    """To people, while programs read the JSON."""
    typer.echo(text, err=True)


def uninstall(purge: _PURGE = False, yes: _SURE = False, as_json: _JSON = False) -> None:
    """Stop the service and remove it. Models always stay."""
    from mlxoss.cli.setup.purge import purge_folders, purged
    from mlxoss.cli.this_machine import this_machine

    with explained():
        machine = this_machine()
        folders = purged(machine.env) if purge else []
        if folders and not yes:
            listed = "\n".join(f"  {folder}" for folder in folders)
            typer.confirm(f"This removes\n{listed}\nand all in them. Go on?", abort=True)
        outcome = machine.manager.uninstall()
        _show(outcome, as_json, nothing="It was not installed.")
        for folder in purge_folders(folders):
            typer.echo(f"removed {folder}", err=as_json)


def start(as_json: _JSON = False) -> None:
    """Start the service, and wait until it answers. Installs it if it is not installed."""
    from mlxoss.cli.this_machine import this_machine

    with explained():
        is_there = this_machine().manager.is_installed()
    if not is_there:
        return install(as_json=as_json)
    _change(
        lambda machine: machine.manager.start(), as_json, nothing="It runs already.", first=True
    )


def stop(disable: _DISABLE = False, as_json: _JSON = False) -> None:
    """Stop the service until the next login.

    Running requests finish first.
    """
    from mlxoss.cli.this_machine import this_machine

    with explained():
        outcome = this_machine().manager.stop(disable=disable)
        _show(outcome, as_json, nothing="It was not running.")


def restart(as_json: _JSON = False) -> None:
    """Start the service anew; running requests finish first."""
    _change(lambda machine: machine.manager.restart(), as_json, nothing="")


def plist(as_json: _JSON = False) -> None:
    """Print the launch agent that `mlxoss install` would write."""
    from mlxoss.cli.setup.plist import to_json, wanted_plist

    with explained():
        text = wanted_plist()
    sys.stdout.write(to_json(text) if as_json else text)


def _change(
    change: Callable[[Machine], Outcome], as_json: bool, *, nothing: str, first: bool = False
) -> None:
    """Make a change after which the service must answer.

    One whose ``first`` start this is, is given up if it would start over for ever.
    """
    from mlxoss.cli.setup.failed import give_up, not_running
    from mlxoss.cli.this_machine import this_machine
    from mlxoss.service.ready import ServiceNotReady

    with explained():
        machine = this_machine()
        config = machine.config()
        outcome = change(machine)
        ready = machine.wait_ready(config)
        _show(outcome, as_json, nothing=nothing)
        if isinstance(ready, ServiceNotReady):
            raise (give_up if first else not_running)(machine, ready)


def _show(outcome: Outcome, as_json: bool, *, nothing: str) -> None:
    if as_json:
        typer.echo(json.dumps(asdict(outcome)))
        return
    for line in outcome.done or ([nothing] if nothing else []):
        typer.echo(line)
    for line in outcome.notes:
        typer.echo(line)
