"""``mlxoss connect``: how to point a client at this server."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import typer

from mlxoss.cli.complete import completing


def _names() -> Iterable[str]:
    from mlxoss.cli.connect.recipes import RECIPES

    return RECIPES


def connect(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help="The client; without it they are listed.",
            autocompletion=completing(_names),
        ),
    ] = None,
    write: Annotated[
        bool,
        typer.Option("--write", help="Merge it into the client's files; the old ones are kept."),
    ] = False,
    remove: Annotated[
        bool, typer.Option("--remove", help="Take out of its files what --write put there.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Show what --write, or --remove, would change."),
    ] = False,
) -> None:
    """Print how to use a client with this server, or set it up.

    Its address, model and key are filled in. Without a name all clients are listed: which are
    installed, which are connected and to which address, and whether their key still holds.
    """
    from mlxoss.cli.connect import connections, listing
    from mlxoss.cli.connect.facts import find_served
    from mlxoss.cli.connect.recipes import RECIPES, render_recipe, this_account
    from mlxoss.errors import ConfigError

    if write and remove:
        raise ConfigError("--write and --remove cannot be given together.")
    if name is None:
        if write or remove or dry_run:
            raise ConfigError("Which client? List them with: mlxoss connect")
        for line in listing.listed(this_account(), find_served()):
            typer.echo(line)
        return
    if name not in RECIPES:
        raise ConfigError(f"No recipe is called {name!r}; list them with: mlxoss connect")
    served = find_served()
    if dry_run:
        connections.show(name, served, is_removal=remove)
    elif remove:
        connections.remove(name, served)
    elif write:
        connections.write(name, served)
    else:
        typer.echo(render_recipe(RECIPES[name], served))
