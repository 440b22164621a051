"""``mlxoss models``: pull a model and list what is there."""

from __future__ import annotations

import json
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
    from mlxoss import paths
    from mlxoss.awake import awake_while
    from mlxoss.hub.cache import Hub
    from mlxoss.hub.pull import pull as pull_model

    with awake_while(is_on=_keeps_awake()):
        pulled = pull_model(Hub(), name, revision, pins=paths.pins_file(), tell=_tell)
    if as_json:
        typer.echo(json.dumps({"name": pulled.name, "commit": pulled.commit}))
        return
    typer.echo(f"{pulled.name} at {pulled.commit} is ready: mlxoss serve --model {pulled.name}")


@app.command("list")
def list_models(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the bundled demo and the models in the Hugging Face cache."""
    from mlxoss import paths
    from mlxoss.cli.models.listing import bundled, to_json, to_table
    from mlxoss.hub.cache import Hub
    from mlxoss.model_pins import read_pins

    found = [bundled(), *Hub().cached(read_pins(paths.pins_file()))]
    typer.echo(to_json(found) if as_json else to_table(found))


def _keeps_awake() -> bool:
    from mlxoss.cli.options import read_config
    from mlxoss.errors import ConfigError

    try:
        return read_config({}).keep_awake == "on"
    except ConfigError:  # a model can be pulled all the same
        return True


def _tell(text: str) -> None:
    typer.echo(text, err=True)
