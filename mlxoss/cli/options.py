"""Flags made from the table of settings."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from mlxoss import paths
from mlxoss.cli.complete import completing
from mlxoss.config import Config, ConfigFile, Setting, find_config_file, load_config, settings
from mlxoss.config.kinds import OneOf

LoadConfig = Callable[[], Config]


def with_settings(command: Callable[[LoadConfig], None]) -> Callable[..., None]:
    """Give ``command`` a flag for every setting, and ``--config``.

    It is passed what loads the configuration with these flags (or raises
    ``ConfigError``). Every value arrives there as text, so that a wrong one is
    refused in the same words whether it came from a flag, the environment or the file.
    """

    @functools.wraps(command)
    def run(config: Path | None, **flags: object) -> None:
        command(lambda: read_config(flags, config))

    parameters = [_flag(setting) for setting in settings().values()]
    parameters.append(_parameter("config", _CONFIG))
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run


def with_setting_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Give ``command`` a flag for every setting beside its own parameters.

    They arrive in its ``**flags``, each as text (a switch as ``bool``), ``None`` if not given.
    """

    @functools.wraps(command)
    def run(**given: object) -> None:
        command(**given)

    own = inspect.signature(command, eval_str=True).parameters.values()
    parameters = [
        *(p.replace(kind=p.KEYWORD_ONLY) for p in own if p.kind is not p.VAR_KEYWORD),
        *(_flag(setting) for setting in settings().values()),
    ]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run


def with_flags(
    switches: Mapping[str, object],
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command ``switches``, name to annotation, beside its own parameters.

    They arrive in its last one, ``**switches``; each is off if not given.
    """

    def give(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command, eval_str=True).parameters.values()
        parameters = [p for p in own if p.kind is not p.VAR_KEYWORD]
        parameters += [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=each)
            for name, each in switches.items()
        ]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in parameters}
        return command

    return give


def read_config(
    flags: Mapping[str, object], file: Path | None = None, env: Mapping[str, str] = os.environ
) -> Config:
    """The settings by ``env``, this process's if not given: ``flags`` over it over the file."""
    return load_config(flags, env, config_file(file, env))


def config_file(file: Path | None = None, env: Mapping[str, str] = os.environ) -> ConfigFile:
    """The configuration file: ``file`` if given, else that of ``env``."""
    return find_config_file(file, env, paths.config_file(env))


_CONFIG = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Read this configuration file instead."),
]


def _flag(setting: Setting) -> inspect.Parameter:
    if setting.kind.metavar is None:
        switch = f"{setting.flag}/--no-{setting.flag[2:]}"
        on_or_off = typer.Option(switch, help=setting.help)
        return _parameter(setting.name, Annotated[bool | None, on_or_off])
    default = "" if setting.default in (None, ()) else f" Default: {setting.default}."
    words = setting.kind.words if isinstance(setting.kind, OneOf) else ()
    option = typer.Option(
        setting.flag,
        metavar=setting.kind.metavar,
        help=setting.help + default,
        autocompletion=completing(lambda: words) if words else None,
    )
    return _parameter(setting.name, Annotated[str | None, option])


def _parameter(name: str, annotation: object) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
    )
