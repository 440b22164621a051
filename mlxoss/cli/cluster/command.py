"""``mlxoss cluster``: check the hosts that are to serve one model together."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

app = typer.Typer(
    help="Check several machines that are to serve one model.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
_FILE = "The hosts, in mlx.launch's format; else the setting hostfile."


@app.command("check")
def check(
    file: Annotated[str | None, typer.Argument(metavar="HOSTFILE", help=_FILE)] = None,
    hostfile: Annotated[
        str | None, typer.Option(metavar="FILE", help="The same as the argument.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="TEXT", help="The model; else the setting model.")
    ] = None,
    backend: Annotated[
        str | None, typer.Option(metavar="ring|jaccl", help="Else as the hostfile says, or ring.")
    ] = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Compare the weights themselves (a minute for 65 GB).")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Ask every host how it is, and measure the links. Exit status 1 if anything fails."""
    from mlxoss.cli.cluster.hosts import Asked, find_cluster, what_the_service_found
    from mlxoss.cli.cluster.table import to_json, to_table
    from mlxoss.cluster.check import check_cluster

    asked = Asked(file, hostfile, model, backend)
    group, backend, model = find_cluster(asked)
    found = check_cluster(group, backend, model, deep=deep)
    found.findings.extend(what_the_service_found(group))
    if as_json:
        typer.echo(to_json(group, backend, found))
    else:
        typer.echo(to_table(group, backend, found, terminal=sys.stdout.isatty()))
    raise typer.Exit(int(found.failed))


@app.command("probe", hidden=True)
def probe() -> None:
    """Answer the question that ``check`` asks on this machine."""
    from mlxoss.cli.cluster.probe import answer_question

    answer_question()
