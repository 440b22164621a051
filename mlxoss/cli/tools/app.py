"""``mlxoss tools``: list, enable and disable the tools that the server runs itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from mlxoss.cli.tools import browser, mcp, python

if TYPE_CHECKING:
    from mlxoss.cli.tools.told import Told
    from mlxoss.config import Config

app = typer.Typer(
    help="List, enable and disable the tools that the server runs itself. All are off at first.",
    invoke_without_command=True,
    rich_markup_mode=None,
)
enable = typer.Typer(
    help="Set a tool up and offer it to the model.", no_args_is_help=True, rich_markup_mode=None
)
disable = typer.Typer(help="Offer it no more.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(enable, name="enable")
app.add_typer(disable, name="disable")
enable.command("python")(python.enable)
disable.command("python")(python.disable)
enable.command("browser")(browser.enable)
disable.command("browser")(browser.disable)

_TELLERS: tuple[Callable[[Config, Mapping[str, str]], Told], ...] = (
    python.tell,
    browser.tell,
    mcp.tell,
)
"""What says of each tool whether it is enabled."""

_JSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.callback()
def tools(context: typer.Context, as_json: _JSON = False) -> None:
    """List the tools: which are enabled, with which limits, and what keeps one from running."""
    if context.invoked_subcommand is not None:
        return
    found = list(_tell())
    if as_json:
        rows = [{"name": each.name, "state": each.state, "about": each.about} for each in found]
        typer.echo(json.dumps(rows, indent=2))
        return
    width = max(len(each.name) for each in found)
    for each in found:
        typer.echo(f"{each.name:{width}}  {each.state:3}  {each.about}")


def _tell() -> Iterator[Told]:
    from mlxoss.cli.options import read_config
    from mlxoss.cli.this_machine import command_env

    env = command_env()
    config = read_config({}, env=env)
    for teller in _TELLERS:
        yield teller(config, env)
