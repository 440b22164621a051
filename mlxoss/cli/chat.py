"""``mlxoss chat``: one question to the running server."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer


class EffortName(StrEnum):
    """The values of ``--effort``."""

    low = "low"
    medium = "medium"
    high = "high"


def chat(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TEXT]...", help="The question; piped input is put below it."),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="The server; else host and port of the configuration."),
    ] = None,
    effort: Annotated[
        EffortName | None,
        typer.Option(help="How long the model reasons.", show_choices=True),
    ] = None,
) -> None:
    """Ask the running server one question and print its answer as it comes.

    A server elsewhere that needs an API key gets the one in MLXOSS_API_KEY.
    """
    from mlxoss.cli.client import stream_chat
    from mlxoss.cli.server import find_server
    from mlxoss.cli.talk import Printer, question

    text = question(words or [], sys.stdin)
    Printer(sys.stdout, sys.stderr).show(stream_chat(find_server(url), text, effort))
