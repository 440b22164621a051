"""``mlxoss bench``: how fast a server answers, and how close that is to what the model can do."""

from __future__ import annotations

import datetime
import json
from typing import Annotated

import typer

from mlxoss.cli.options import with_flags
from mlxoss.errors import ConfigError

EPILOG = (
    "prefill counts the tokens of the prompt that were not cached, until the first token; decode "
    "those of all streams from their first token on. The second turn comes a second after the "
    "answer. `of the limit` is the share of what the same model does in-process, with nothing "
    "around it; `of the chip` of the bytes that the chip reads in a second, by Apple or else "
    "measured, and for a prompt of the operations that it does."
)


_OUTPUT = {
    "save": Annotated[
        bool, typer.Option("--save", help="Keep this run; later ones of this model compare.")
    ],
    "share": Annotated[
        bool, typer.Option("--share", help="Print a report without names, to paste elsewhere.")
    ],
    "as_json": Annotated[bool, typer.Option("--json", help="Print JSON.")],
}
"""What becomes of the report."""


@with_flags(_OUTPUT)
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
    **output: bool,
) -> None:
    """Measure how fast a running server answers.

    First token, prefill, decode with 1, 4 and 8 streams, second turns. A key is sent from
    MLXOSS_API_KEY, or with --url from OPENAI_API_KEY.
    """
    from mlxoss.cli.bench import saved
    from mlxoss.cli.bench.measure import BenchOptions, measure
    from mlxoss.cli.bench.share import to_share
    from mlxoss.cli.printing import explained

    if output["share"] and output["as_json"]:
        raise ConfigError("--share is text: leave --json out.")
    options = BenchOptions(url, model, tokens, restart, in_process)
    with explained():
        report, source = measure(options)
        saved.compare(report)
        if output["save"]:
            report.notes.append(f"Saved in {saved.save(report, datetime.date.today())}.")
    if output["share"]:
        typer.echo(to_share(report, source))
    elif output["as_json"]:
        typer.echo(json.dumps(report.to_json(), indent=2))
    else:
        typer.echo("\n".join(report.to_lines()))
