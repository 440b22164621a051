"""``mlxoss chat``: one question to the running server."""

from __future__ import annotations

import os
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
    from mlxoss import paths
    from mlxoss.cli.client import stream_chat
    from mlxoss.cli.notice import url as to_url
    from mlxoss.cli.options import read_config
    from mlxoss.cli.talk import Printer, question
    from mlxoss.config import API_KEY_VARIABLE
    from mlxoss.keys import read_local_token

    text = question(words or [], sys.stdin)
    key = os.environ.get(API_KEY_VARIABLE)
    certificate = None
    if url is None:
        config = read_config({})
        url, certificate = to_url(config), config.tls_cert
        # Only to the server that writes it: any other would learn it.
        key = key or read_local_token(paths.data_dir())
    Printer(sys.stdout, sys.stderr).show(stream_chat(url, text, effort, key, certificate))
