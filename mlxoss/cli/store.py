"""``mlxoss store``: what the daemon keeps of its responses."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(
    help="Wipe what is kept of responses.", no_args_is_help=True, rich_markup_mode=None
)
_SURE = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@app.command("clear")
def clear(yes: _SURE = False) -> None:
    """Remove every response and conversation that is kept. The daemon must be stopped."""
    from mlxoss import paths
    from mlxoss.cli.status_view import to_bytes
    from mlxoss.server.state import DATABASE
    from mlxoss.store.wiping import wipe

    path = paths.data_dir() / DATABASE
    if not yes:
        typer.confirm(f"This removes every response and conversation in {path}. Go on?", abort=True)
    typer.echo(f"removed {to_bytes(wipe(path))} of {path}")
