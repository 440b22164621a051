"""``mlxoss config``: read and change the service's settings."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from mlxoss.cli.complete import completing
from mlxoss.errors import ConfigError, MlxossError, ServiceError

if TYPE_CHECKING:
    from mlxoss.config import Config, ConfigFile

app = typer.Typer(
    help="Read and change the settings in the configuration file.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def _names() -> Iterable[str]:
    from mlxoss.config import settings

    return settings()


_NAME = Annotated[
    str,
    typer.Argument(metavar="NAME", help="Such as max_batch.", autocompletion=completing(_names)),
]
_JSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_RESTART = "It takes effect with: mlxoss restart"


@app.command("path")
def show_path(as_json: _JSON = False) -> None:
    """Print where the configuration file is."""
    path = str(_file(_environment()).path)
    typer.echo(json.dumps({"path": path}) if as_json else path)


@app.command("list")
def list_settings(as_json: _JSON = False) -> None:
    """List every setting with the value that holds now."""
    from mlxoss.config import settings

    config = _read(_environment())
    values = {name: getattr(config, name) for name in settings()}
    if as_json:
        typer.echo(json.dumps(values, default=str, indent=2))
        return
    width = max(map(len, values))
    for name, value in values.items():
        typer.echo(f"{name:{width}}  {_shown(value)}".rstrip())


@app.command("get")
def get(name: _NAME, as_json: _JSON = False) -> None:
    """Print the value of one setting; nothing if it is not set."""
    from mlxoss.service.config_edit import find_setting

    key = find_setting(name).name
    value = getattr(_read(_environment()), key)
    typer.echo(json.dumps({key: value}, default=str) if as_json else _shown(value))


@app.command("set")
def set_value(
    name: _NAME,
    value: Annotated[str, typer.Argument(metavar="VALUE", help="Empty unsets it.")],
    as_json: _JSON = False,
) -> None:
    """Change one setting in the file; comments there stay."""
    from mlxoss.service.config_edit import change_config_file, find_setting

    setting = find_setting(name)
    try:
        change = {setting.name: setting.kind.read(value) if value else None}
    except ValueError as error:
        raise ConfigError(f"{setting.name} {error}.", key=name, source="command line") from None
    env = _environment()
    changed = change_config_file(_file(env).path, change)
    _warn(env)
    if as_json:
        typer.echo(json.dumps({"changed": changed}))
        return
    typer.echo(_RESTART if changed else "It says so already.")


@app.command("edit")
def edit() -> None:
    """Open the configuration file in $VISUAL or $EDITOR, then check it."""
    env = _environment()
    path = _file(env).path
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.touch(mode=0o600)
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    try:
        ended = subprocess.run([*shlex.split(editor), str(path)], check=False).returncode
    except (OSError, ValueError) as error:
        raise ConfigError(f"The editor {editor!r} cannot be run: {error}.") from None
    if ended:
        raise ConfigError(f"The editor {editor!r} ended with exit status {ended}.")
    _read(env)
    typer.echo(_RESTART)


def _warn(env: Mapping[str, str]) -> None:
    """Say at once what would keep the service from starting."""
    from mlxoss import paths
    from mlxoss.cli.this_machine import closed_folders, this_machine
    from mlxoss.cluster.group import find_group
    from mlxoss.daemon.reach import check_reach
    from mlxoss.findings import Level

    try:
        config = _read(env)
        check_reach(config, paths.data_dir(env))
        find_group(config)
    except MlxossError as error:
        typer.echo(f"Note: the service does not start like this: {error}", err=True)
        return
    with suppress(ServiceError):
        for check in closed_folders(replace(this_machine(), env=env), config):
            if check.level != Level.OK:
                typer.echo(f"Note: {check.detail}. {check.remedy}", err=True)


def _environment() -> Mapping[str, str]:
    """The installed service's environment, so that what is changed is what it reads.

    This shell's where no service is installed.
    """
    from mlxoss.cli.this_machine import installed_machine

    machine = installed_machine()
    if machine is None:
        return os.environ
    held, here = _file(machine.env).path, _file(os.environ).path
    if held != here:
        typer.echo(f"Note: the service reads {held}; this shell would read {here}.", err=True)
    return machine.env


def _file(env: Mapping[str, str]) -> ConfigFile:
    from mlxoss import paths
    from mlxoss.config import find_config_file

    return find_config_file(None, env, paths.config_file(env))


def _read(env: Mapping[str, str]) -> Config:
    from mlxoss.config import load_config

    return load_config({}, env, _file(env))


def _shown(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple):
        return ",".join(map(_shown, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
