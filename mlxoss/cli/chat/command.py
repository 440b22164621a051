"""``mlxoss chat``: a question to the running server, or a talk with it."""

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
        typer.Argument(metavar="TEXT", help="The question; piped input is put below it."),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="The server; else host and port of the configuration."),
    ] = None,
    effort: Annotated[
        EffortName | None,
        typer.Option(help="How long the model reasons.", show_choices=True),
    ] = None,
    hide_reasoning: Annotated[
        bool, typer.Option("--hide-reasoning", help="Show the answer alone.")
    ] = False,
    uses_tools: Annotated[
        bool,
        typer.Option(
            "--tools/--no-tools",
            help="Let the model run code and use the web, where the server has that enabled.",
        ),
    ] = True,
) -> None:
    """Ask the running server a question, or talk with it.

    Without a question, on a terminal: Ctrl-C ends an answer, Ctrl-D the talk, /help lists what
    else there is. Piped input is put below the question:

    \b
      git diff | mlxoss chat "Review this."

    Where tools are enabled on the server (mlxoss tools), the model may use them: a line tells of
    each call, sources stand below the answer, and plots are files in a temporary folder.

    A server elsewhere that needs an API key gets the one in MLXOSS_API_KEY.
    """
    from mlxoss import paths
    from mlxoss.cli.chat.plots import PlotFolder
    from mlxoss.cli.chat.printer import Printer, question
    from mlxoss.cli.chat.session import HISTORY_FILE, Session, converse
    from mlxoss.cli.client.http import find_server
    from mlxoss.cli.client.responses import stream_response, to_question
    from mlxoss.cli.this_machine import command_env

    server, plots = find_server(url), PlotFolder()

    def printer() -> Printer:
        return Printer(sys.stdout, sys.stderr, plots, hide_reasoning=hide_reasoning)

    if not words and sys.stdin.isatty() and sys.stdout.isatty():
        session = Session(server, printer, effort, uses_tools=uses_tools)
        converse(session, paths.data_dir(command_env()) / HISTORY_FILE)
        return
    items = [to_question(question(words or [], sys.stdin))]
    is_seen = sys.stderr.isatty()
    stream = stream_response(server, items, effort, uses_tools=uses_tools, tells_progress=is_seen)
    printer().show(stream)
