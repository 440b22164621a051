"""``mlxoss mcp``: list the MCP servers of mcp.json, and try them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Annotated

import typer

from mlxoss.cli.complete import completing

app = typer.Typer(
    help="List the MCP servers of mcp.json, and try them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def _labels() -> Iterable[str]:
    from mlxoss.cli.mcp.servers import read_file

    return read_file().file.servers


_LABEL = Annotated[
    str | None,
    typer.Argument(
        metavar="LABEL", help="One of them; else all.", autocompletion=completing(_labels)
    ),
]
_JSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_servers(as_json: _JSON = False) -> None:
    """List the servers, and what is wrong in the file. Exit status 1 if anything is."""
    from mlxoss.cli.mcp.servers import read_file, to_json, to_lines

    found = read_file()
    if as_json:
        typer.echo(json.dumps(to_json(found), indent=2))
    else:
        typer.echo("\n".join(to_lines(found)))
    raise typer.Exit(int(bool(found.file.problems)))


@app.command("check")
def check(label: _LABEL = None, as_json: _JSON = False) -> None:
    """Start or reach each server and list its tools. Exit status 1 if one fails."""
    from mlxoss.cli.mcp.trial import to_lines, try_servers

    found = try_servers(label)
    if as_json:
        typer.echo(json.dumps([trial.to_json() for trial in found], indent=2))
    else:
        for trial in found:
            typer.echo("\n".join(to_lines(trial, terminal=sys.stdout.isatty())))
    raise typer.Exit(int(any(trial.failure for trial in found)))
