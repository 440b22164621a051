"""``mlxoss logs``: what the daemon wrote, and what it writes."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Annotated

import typer

from mlxoss.cli.printing import explained

_FOLLOW = Annotated[bool, typer.Option("--follow", "-f", help="Show what is written from now on.")]
_LINES = Annotated[int, typer.Option("--lines", "-n", metavar="N", min=0, help="Last lines only.")]
_SINCE = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="From then on: 10m, 2h, 3d ago, or 2026-01-31T09:30."),
]
_STDERR = Annotated[
    bool, typer.Option("--stderr", help="What it wrote before or beside its log (crashes).")
]


_JSON = Annotated[bool, typer.Option("--json", help="Print a JSON object for each line.")]


def logs(
    follow: _FOLLOW = False,
    lines: _LINES = 50,
    since: _SINCE = None,
    stderr: _STDERR = False,
    as_json: _JSON = False,
) -> None:
    """Show the service's log."""
    from mlxoss.cli.this_machine import this_machine
    from mlxoss.service.logtail import last_lines, parse_since, read_lines, rotated
    from mlxoss.service.logtail import since as lines_since

    with explained():
        machine = this_machine()
        path = machine.service_log() if stderr else machine.log()
    found = read_lines(rotated(path))
    if since is not None:
        shown = list(lines_since(found, parse_since(since, datetime.datetime.now(datetime.UTC))))
    else:
        shown = last_lines(found, lines)
    for line in shown:
        _print(line, as_json)
    if follow:
        _follow(path, as_json)
    elif not path.exists():
        typer.echo(f"There is no log yet: {path}", err=True)


def _print(line: str, as_json: bool) -> None:
    from mlxoss.service.logtail import parse_line

    typer.echo(json.dumps(parse_line(line)) if as_json else line)


def _follow(path: Path, as_json: bool) -> None:
    from mlxoss.service.logtail import follow
    from mlxoss.service.supervisor import Polling

    for line in follow(path, Polling(poll_s=0.2)):
        if line:
            _print(line, as_json)
