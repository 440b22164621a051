"""A tool as ``mlxoss tools`` shows it, and the setting that enables one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import typer

RESTART = "It takes effect with: mlxoss restart"


@dataclass(frozen=True, slots=True)
class Told:
    """``about`` has its limits, or what is wrong: a tool that is ``bad`` is not offered."""

    name: str
    state: Literal["on", "off", "bad"]
    about: str


def change_settings(changes: Mapping[str, object | None], env: Mapping[str, str]) -> None:
    """Write settings into the file that the server reads, and say when they hold."""
    from mlxoss.cli.options import config_file
    from mlxoss.service.config_edit import change_config_file

    changed = change_config_file(config_file(env=env).path, changes)
    typer.echo(RESTART if changed else "The settings say so already.")
