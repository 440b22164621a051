"""What commands print alike: sizes, paths, lines that fit, and failures with their remedies."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from mlxoss.errors import ServiceError

WIDTH = 80
LEVEL_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red", "skip": "bright_black"}
"""Of the words that checks begin with (``mlxoss.findings.Level``)."""


@contextmanager
def explained() -> Iterator[None]:
    """Turn a ``ServiceError`` into its sentence, its remedy and exit status 1."""
    try:
        yield
    except ServiceError as error:
        typer.echo(f"mlxoss: {error}", err=True)
        if error.remedy:
            typer.echo(f"  {error.remedy}", err=True)
        raise typer.Exit(1) from None


def fitted(text: str, *, indent: int, terminal: bool) -> str:
    """A line for people: on a ``terminal`` in as many of ``WIDTH`` as it takes, the later ones
    indented; elsewhere whole, so that what it names can be searched for and copied.
    """
    if not terminal:
        return text
    return "\n".join(
        textwrap.wrap(
            text,
            WIDTH,
            subsequent_indent=" " * indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
    )


def tilde(path: Path | str) -> str:
    """A path for people: the home folder as ``~``."""
    text, home = str(path), str(Path.home())
    return f"~{text[len(home) :]}" if text.startswith(home + os.sep) else text


def to_bytes(count: int) -> str:
    """A size for people, in decimal units."""
    if count >= 1e9:
        return f"{count / 1e9:.1f} GB"
    return f"{count / 1e6:.0f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"


def to_estimate(seconds: float) -> str:
    """How long something may take, no finer than anybody can tell."""
    if seconds < 90:
        return f"about {max(1, round(seconds))} s"
    return f"about {round(seconds / 60)} min"
