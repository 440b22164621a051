"""``mlxoss tune``: measure what is faster on this machine, and keep it."""

from __future__ import annotations

import json
from typing import Annotated

import typer

EPILOG = (
    "Each candidate is measured in a fresh process, several times in changing order: decoding with "
    "1 and 4 rows, a prompt of 2,000 tokens, the first token after a pause, memory at its peak. "
    "One is kept if it says the same tokens and gains more than the noise. Some minutes, "
    "more for the 120b: the bar tells. What is set in the configuration is never changed."
)


def tune(
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Also on battery or in low power mode.")
    ] = False,
    reset: Annotated[
        bool, typer.Option("--reset", help="Forget what was found for this model.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure which settings are faster on this machine, and keep those that gain.

    The service's model leaves the memory meanwhile, so it must have no requests.
    """
    from mlxoss.cli.printing import explained
    from mlxoss.cli.tune.run import find_tuning
    from mlxoss.cli.tune.run import reset as forget
    from mlxoss.cli.tune.run import tune as run

    with explained():
        tuning = find_tuning()
        if reset:
            _tell_reset(forget(tuning), as_json)
            return
        outcome = run(tuning, anyway=anyway)
    if as_json:
        typer.echo(json.dumps(outcome.to_json(), indent=2))
        return
    from mlxoss.cli.tune.search import to_lines

    for line in (*to_lines(outcome.found), *outcome.notes):
        typer.echo(line)
    if outcome.tuned is None:
        return
    if not outcome.tuned.settings:
        typer.echo("Nothing gained: everything stays as it is.")
        return
    typer.echo(f"Kept: {outcome.tuned.to_text()}. It takes effect with: mlxoss restart")


def _tell_reset(had: bool, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"changed": had}))
        return
    said = "Forgotten. It takes effect with: mlxoss restart"
    typer.echo(said if had else "Nothing was kept for this model.")
