"""``mlxoss doctor``: every check of the set-up, each with its remedy."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from mlxoss.cli.printing import LEVEL_COLOURS, explained, fitted

if TYPE_CHECKING:
    from mlxoss.findings import Check

_JSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_SPEED = Annotated[
    bool,
    typer.Option(
        "--speed", help="Also compare the service's speed with a run in the foreground (slow)."
    ),
]


def doctor(speed: _SPEED = False, as_json: _JSON = False) -> None:
    """Check the set-up and say what to do. Exit status 1 if anything fails."""
    from mlxoss.cli.doctor.checks import examine

    with explained():
        checks = examine(speed=speed)
    if as_json:
        typer.echo(json.dumps([asdict(check) for check in checks], indent=2))
    else:
        for check in checks:
            typer.echo(_line(check))
    raise typer.Exit(int(any(check.level == "fail" for check in checks)))


def _line(check: Check) -> str:
    terminal = sys.stdout.isatty()
    text = fitted(f"{check.level:4}  {check.name}: {check.detail}", indent=6, terminal=terminal)
    text = typer.style(text[:4], fg=LEVEL_COLOURS[check.level]) + text[4:]
    if check.remedy and check.level != "ok":
        text += "\n" + fitted(f"      -> {check.remedy}", indent=9, terminal=terminal)
    return text
