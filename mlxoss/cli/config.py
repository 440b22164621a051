"""``mlxoss config``: read and change the service's settings."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from dataclasses import asdict
from typing import Annotated

import typer

from mlxoss.errors import ConfigError

app = typer.Typer(
    help="Read and change the settings in the configuration file.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
_NAME = Annotated[str, typer.Argument(metavar="NAME", help="Such as max_batch.")]
_RESTART = "It takes effect with: mlxoss restart"


@app.command("path")
def show_path() -> None:
    """Print where the configuration file is."""
    from mlxoss.cli.options import config_file

    typer.echo(config_file().path)


@app.command("list")
def list_settings(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List every setting with the value that holds now."""
    from mlxoss.cli.options import read_config

    values = asdict(read_config({}))
    if as_json:
        typer.echo(json.dumps(values, default=str, indent=2))
        return
    width = max(map(len, values))
    for name, value in values.items():
        typer.echo(f"{name:{width}}  {_shown(value)}".rstrip())


@app.command("get")
def get(name: _NAME) -> None:
    """Print the value of one setting; nothing if it is not set."""
    from mlxoss.cli.options import read_config
    from mlxoss.service.config_edit import find_setting

    typer.echo(_shown(getattr(read_config({}), find_setting(name).name)))


@app.command("set")
def set_value(
    name: _NAME, value: Annotated[str, typer.Argument(metavar="VALUE", help="Empty unsets it.")]
) -> None:
    """Change one setting in the file; comments there stay."""
    from mlxoss.cli.options import config_file
    from mlxoss.service.config_edit import change_config_file, find_setting

    setting = find_setting(name)
    try:
        change = {setting.name: setting.kind.read(value) if value else None}
    except ValueError as error:
        raise ConfigError(f"{setting.name} {error}.", key=name, source="command line") from None
    changed = change_config_file(config_file().path, change)
    typer.echo(_RESTART if changed else "It says so already.")


@app.command("edit")
def edit() -> None:
    """Open the configuration file in $VISUAL or $EDITOR, then check it."""
    from mlxoss.cli.options import config_file, read_config

    path = config_file().path
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.touch(mode=0o600)
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    try:
        ended = subprocess.run([*shlex.split(editor), str(path)], check=False).returncode
    except (OSError, ValueError) as error:
        raise ConfigError(f"The editor {editor!r} cannot be run: {error}.") from None
    if ended:
        raise ConfigError(f"The editor {editor!r} ended with exit status {ended}.")
    read_config({})
    typer.echo(_RESTART)


def _shown(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple):
        return ",".join(map(_shown, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
