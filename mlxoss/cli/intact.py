"""``mlxoss intact``: asked by a running daemon of what was installed in its place."""

from __future__ import annotations

import json

import typer


def intact() -> None:
    """Say which version this is, if all of it is there and loads."""
    from mlxoss.daemon.intact import describe_installation

    typer.echo(json.dumps(describe_installation()))
