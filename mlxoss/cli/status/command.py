"""``mlxoss status``: one screen, and an exit status for scripts."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from mlxoss.errors import ServiceError

if TYPE_CHECKING:
    from mlxoss.cli.status.view import View

UNKNOWN = 4
_WATCH_S = 2.0
_WATCH = Annotated[bool, typer.Option("--watch", "-w", help="Show it anew every two seconds.")]
_JSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]

EPILOG = "Exit status: 0 healthy, 1 running but unhealthy, 3 not running, 4 cannot tell."


def status(watch: _WATCH = False, as_json: _JSON = False) -> None:
    """Show how the service is."""
    from mlxoss.cli.status.view import read_view
    from mlxoss.service.status import EXIT_STATUS

    try:
        view = read_view()
        if watch:
            _watch(view, _to_line if as_json else to_screen)
        typer.echo(_to_line(view) if as_json else to_screen(view))
    except ServiceError as error:
        typer.echo(f"mlxoss: {error}\n  {error.remedy or ''}".rstrip(), err=True)
        raise typer.Exit(UNKNOWN) from None
    raise typer.Exit(EXIT_STATUS[view.verdict])


def to_screen(view: View) -> str:
    """The whole screen; click takes the colour out where there is no terminal."""
    from mlxoss.cli.status.screen import COLOURS, to_lines

    head = typer.style(f"mlxoss is {view.headline}", fg=COLOURS[view.verdict], bold=True)
    return "\n".join([head, *to_lines(view)])


def _to_line(view: View) -> str:
    from mlxoss.cli.status.screen import to_json

    return json.dumps(to_json(view), default=str)


def _watch(view: View, show: Callable[[View], str]) -> None:
    """Redraw until interrupted. In a pipe one screen follows the other, in JSON one line."""
    from mlxoss.cli.status.view import read_view

    if not sys.stdout.isatty() or show is _to_line:
        while True:
            typer.echo(show(view) + ("" if show is _to_line else "\n"))
            time.sleep(_WATCH_S)
            view = read_view()
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    with Live(console=Console(highlight=False), screen=True, auto_refresh=False) as live:
        while True:
            live.update(Text.from_ansi(show(view)), refresh=True)
            time.sleep(_WATCH_S)
            view = read_view()
