"""``mlxoss store``: what the daemon keeps of its responses."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(
    help="Wipe what is kept of what was said.", no_args_is_help=True, rich_markup_mode=None
)
_SURE = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@app.command("clear")
def clear(yes: _SURE = False) -> None:
    """Remove every response, conversation and prompt that is kept. The daemon must be stopped."""
    from mlxoss import paths
    from mlxoss.cli.printing import to_bytes
    from mlxoss.cli.this_machine import command_env
    from mlxoss.engine.prefix_cache.disk_files import wipe as wipe_snapshots
    from mlxoss.errors import StoreError
    from mlxoss.server.storage import DATABASE
    from mlxoss.store.wiping import wipe

    env = command_env()
    path, snapshots = paths.data_dir(env) / DATABASE, paths.snapshots_dir(env)
    table = paths.prefix_table(env)
    if not yes:
        both = f"every response and conversation in {path}, every prompt in {snapshots}"
        typer.confirm(f"This removes {both}. Go on?", abort=True)
    typer.echo(f"removed {to_bytes(wipe(path))} of {path}")
    try:
        size = wipe_snapshots(snapshots)
        table.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"{snapshots} cannot be emptied: {error.strerror or error}.") from error
    typer.echo(f"removed {to_bytes(size)} of {snapshots}")
