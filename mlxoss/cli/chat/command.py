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
) -> None:
    """Ask the running server a question, or talk with it.

    Without a question, on a terminal: Ctrl-C ends an answer, Ctrl-D the talk, /help lists what
    else there is. Piped input is put below the question:

    \b
      git diff | mlxoss chat "Review this."

    A server elsewhere that needs an API key gets the one in MLXOSS_API_KEY.
    """
    from mlxoss import paths
    from mlxoss.cli.chat.printer import Printer, question
    from mlxoss.cli.chat.session import HISTORY_FILE, Session, converse
    from mlxoss.cli.client.chat import PromptMessage, stream_chat
    from mlxoss.cli.client.http import find_server
    from mlxoss.cli.this_machine import command_env

    server = find_server(url)

    def printer() -> Printer:
        return Printer(sys.stdout, sys.stderr, hide_reasoning=hide_reasoning)

    if not words and sys.stdin.isatty() and sys.stdout.isatty():
        converse(Session(server, printer, effort), paths.data_dir(command_env()) / HISTORY_FILE)
        return
    text = question(words or [], sys.stdin)
    messages = [PromptMessage("user", text)]
    is_seen = sys.stderr.isatty()
    printer().show(stream_chat(server, messages, effort, tells_progress=is_seen))
