"""``mlxoss tools``: its subcommands."""

from __future__ import annotations

import typer

from mlxoss.cli.tools import browser

app = typer.Typer(
    help="Enable the tools that this server runs for the model; all are off until then.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
enable = typer.Typer(help="Enable a tool.", no_args_is_help=True, rich_markup_mode=None)
disable = typer.Typer(help="Disable a tool.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(enable, name="enable")
app.add_typer(disable, name="disable")
enable.command("browser")(browser.enable)
disable.command("browser")(browser.disable)
