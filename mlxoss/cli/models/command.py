"""``mlxoss models``: pull a model and list what is there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Pull models and list them.", no_args_is_help=True, rich_markup_mode=None)


@app.command("pull")
def pull(
    name: Annotated[str, typer.Argument(metavar="ID", help="Such as org/name on Hugging Face.")],
    revision: Annotated[
        str, typer.Option(metavar="REV", help="A branch, a tag or a commit.")
    ] = "main",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Download a gpt_oss model; what an interrupted pull left is taken up again."""
    pins = _where_the_server_looks()
    from mlxoss.awake import awake_while
    from mlxoss.hub.cache import Hub
    from mlxoss.hub.pull import pull as pull_model

    with awake_while(is_on=_keeps_awake()):
        pulled = pull_model(Hub(), name, revision, pins=pins, tell=_tell)
    if as_json:
        typer.echo(json.dumps({"name": pulled.name, "commit": pulled.commit}))
        return
    typer.echo(f"{pulled.name} at {pulled.commit} is ready: mlxoss serve --model {pulled.name}")


@app.command("list")
def list_models(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the bundled demo and the models in the Hugging Face cache."""
    pins = _where_the_server_looks()
    from mlxoss.cli.models.listing import bundled, to_json, to_table
    from mlxoss.hub.cache import Hub
    from mlxoss.model_pins import read_pins

    found = [bundled(), *Hub().cached(read_pins(pins))]
    typer.echo(to_json(found) if as_json else to_table(found))


def _where_the_server_looks() -> Path:
    """Have models looked for there, and return the record of pulled ones.

    Call before the Hub's library is imported, which reads its variables then.
    """
    from mlxoss import paths
    from mlxoss.cli.this_machine import command_env, look_where_it_looks

    env = command_env()
    there, here = paths.hub_cache(env), paths.hub_cache()
    if there != here:
        typer.echo(
            f"Note: the service has its models in {there}; this shell names {here}.", err=True
        )
    look_where_it_looks(env)
    return paths.pins_file(env)


def _keeps_awake() -> bool:
    from mlxoss.cli.options import read_config
    from mlxoss.cli.this_machine import command_env
    from mlxoss.errors import ConfigError

    try:
        return read_config({}, env=command_env()).keep_awake == "on"
    except ConfigError:  # a model can be pulled all the same
        return True


def _tell(text: str) -> None:
    typer.echo(text, err=True)
