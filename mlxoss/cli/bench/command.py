"""``mlxoss bench``: how fast a server answers, and how close that is to what the model can do."""

from __future__ import annotations

import json
from typing import Annotated

import typer

EPILOG = (
    "prefill counts the tokens of the prompt that were not cached, until the first token; decode "
    "those of all streams from their first token on. The second turn comes a second after the "
    "answer. `of the limit` is the share of what the same model does in-process, with nothing "
    "around it."
)


def bench(
    url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Any server with OpenAI's chat completions; else host and port of the "
            "configuration.",
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="The model; else the first that it lists.")
    ] = None,
    tokens: Annotated[
        int, typer.Option(min=16, help="Tokens of a long answer; long prompts have 8 times that.")
    ] = 128,
    restart: Annotated[
        bool, typer.Option("--restart", help="Restart the installed service, and go on after that.")
    ] = False,
    in_process: Annotated[
        bool | None,
        typer.Option(
            "--in-process/--no-in-process",
            help="Load the configuration's model here as well, and compare. Default: for this "
            "machine's own server, if there is room for the model a second time.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure how fast a running server answers.

    First token, prefill, decode with 1, 4 and 8 streams, second turns. A key is sent from
    MLXOSS_API_KEY, or with --url from OPENAI_API_KEY.
    """
    from mlxoss.cli.bench.measure import BenchOptions, measure
    from mlxoss.cli.printing import explained

    options = BenchOptions(url, model, tokens, restart, in_process)
    with explained():
        report = measure(options)
    if as_json:
        typer.echo(json.dumps(report.to_json(), indent=2))
    else:
        typer.echo("\n".join(report.to_lines()))
