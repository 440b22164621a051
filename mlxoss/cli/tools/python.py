"""The tool ``python``: set up, taken away, told of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import typer

from mlxoss.cli.tools.told import Told, change_settings
from mlxoss.errors import ConfigError

if TYPE_CHECKING:
    from mlxoss.config import Config

_NAME = "python"


def enable() -> None:
    """Let the model run Python: install its packages, try the sandbox, write the setting."""
    from mlxoss import paths
    from mlxoss.cli.this_machine import command_env
    from mlxoss.hosted.python.setup import set_up

    env = command_env()
    set_up(paths.data_dir(env), paths.cache_dir(env), typer.echo)
    change_settings({"tool_python": "on"}, env)


def disable() -> None:
    """Offer Python no more, and remove its packages."""
    from mlxoss import paths
    from mlxoss.cli.this_machine import command_env
    from mlxoss.hosted.python.environment import remove_environments

    env = command_env()
    change_settings({"tool_python": "off"}, env)
    try:
        if remove_environments(paths.data_dir(env)):
            typer.echo("Its packages are removed.")
    except OSError as error:
        raise ConfigError(f"its packages cannot be removed: {error}.") from None


def tell(config: Config, env: Mapping[str, str]) -> Told:
    """Whether it is enabled, and runs."""
    if config.tool_python != "on":
        return Told(_NAME, "off", "mlxoss tools enable python")
    from mlxoss import paths
    from mlxoss.findings import Level
    from mlxoss.hosted.python.limits import Limits
    from mlxoss.hosted.python.setup import check_python, describe

    for check in check_python(config, paths.data_dir(env), paths.cache_dir(env)):
        if check.level != Level.OK:
            return Told(_NAME, "bad", f"{check.detail} ({check.remedy})")
    return Told(_NAME, "on", describe(Limits()))
