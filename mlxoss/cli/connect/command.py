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
) -> None:
    """Print how to use a client with this server.

    Its address, model and key are filled in.
    """
    from mlxoss.cli.connect.facts import find_served
    from mlxoss.cli.connect.recipes import RECIPES, render_recipe
    from mlxoss.errors import ConfigError

    if name is None:
        width = max(map(len, RECIPES))
        for each, recipe in RECIPES.items():
            typer.echo(f"{each:{width}}  {recipe.about}")
        return
    if name not in RECIPES:
        raise ConfigError(f"No recipe is called {name!r}; list them with: mlxoss connect")
    typer.echo(render_recipe(RECIPES[name], find_served()))
