"""``mlxoss key``: make, list and revoke the keys that clients send."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from mlxoss.cli.complete import completing

app = typer.Typer(
    help="Make, list and revoke API keys. Once there is one, every request needs one.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
_NAME = Annotated[str, typer.Argument(metavar="NAME", help="What the key is for.")]


def _names() -> Iterable[str]:
    from mlxoss.api_key_file import read_keys

    return [key.name for key in read_keys(_folder())]


_MADE = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="As mlxoss key list shows it.", autocompletion=completing(_names)
    ),
]
_JSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_NEVER = "never"


@app.command("create")
def create(name: _NAME) -> None:
    """Make a key and print it, this once. A server that runs asks for keys at once."""
    from mlxoss.api_key_file import create_key

    typer.echo(create_key(_folder(), name, time.time()))
    typer.echo(
        "It is not shown again. Clients send it as 'Authorization: Bearer KEY'; "
        "the commands on this machine need none.",
        err=True,
    )


@app.command("list")
def list_keys(as_json: _JSON = False) -> None:
    """List the keys' names, when they were made and when last used (to the minute)."""
    from mlxoss.api_key_file import read_keys, read_uses

    folder = _folder()
    uses = read_uses(folder)
    rows = [
        (key.name, _time(key.created_at), _time(uses.get(key.hash))) for key in read_keys(folder)
    ]
    if as_json:
        names = ("name", "created", "last_used")
        typer.echo(json.dumps([dict(zip(names, row, strict=True)) for row in rows], indent=2))
        return
    width = max((len(name) for name, *_ in rows), default=0)
    for name, created, used in rows:
        typer.echo(f"{name:{width}}  created {created}  last used {used or _NEVER}")


@app.command("revoke")
def revoke(name: _MADE) -> None:
    """Take a key away; a server that runs refuses it at once."""
    from mlxoss.api_key_file import revoke_key

    left = revoke_key(_folder(), name)
    typer.echo(f"{name} is revoked." if left else f"{name} is revoked. {_LAST}")


_LAST = "It was the last key: programs on this machine need none now, other machines are refused."


def _folder() -> Path:
    """Where the server looks for them."""
    from mlxoss import paths
    from mlxoss.cli.this_machine import command_env

    return paths.data_dir(command_env())


def _time(at: float | None) -> str | None:
    return None if at is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
