"""The ``mlxoss`` command: every subcommand, and what becomes of an error.

Only what reads the command line is imported here; each command imports what it
runs on, so that help is quick.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from mlxoss import __version__
from mlxoss.cli import config, control, intact, keys, logs, privacy, rank, serve, store
from mlxoss.cli.bench import command as bench
from mlxoss.cli.chat import command as chat
from mlxoss.cli.cluster import command as cluster
from mlxoss.cli.connect import codex, launch
from mlxoss.cli.connect import command as connect
from mlxoss.cli.doctor import command as doctor
from mlxoss.cli.mcp import command as mcp
from mlxoss.cli.models import command as models
from mlxoss.cli.quick import QuickCommand, QuickGroup
from mlxoss.cli.setup import commands as service
from mlxoss.cli.status import command as status
from mlxoss.cli.status import menubar, stats
from mlxoss.cli.tools import app as tools
from mlxoss.cli.tune import command as tune
from mlxoss.errors import ConfigError, MlxossError


def _make_app(*, completion: bool = True) -> typer.Typer:
    return typer.Typer(
        name="mlxoss",
        cls=QuickGroup,
        help="GPT-OSS on MLX behind OpenAI's endpoints.",
        no_args_is_help=True,
        add_completion=completion,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def _add_status(to: typer.Typer) -> None:
    to.command("status", cls=QuickCommand, epilog=status.EPILOG)(status.status)


def _add_menubar(to: typer.Typer) -> None:
    to.command("menubar", cls=QuickCommand)(menubar.menubar)


app = _make_app()
app.command("serve", cls=QuickCommand, epilog=serve.EPILOG)(serve.serve)
app.command("chat")(chat.chat)
app.command("codex")(codex.codex)
app.command("connect")(connect.connect)
app.command("launch", context_settings=launch.RAW)(launch.launch)
app.add_typer(models.app, name="models")
app.add_typer(cluster.app, name="cluster")
app.add_typer(mcp.app, name="mcp")
app.add_typer(keys.app, name="key")
app.add_typer(store.app, name="store")
app.add_typer(tools.app, name="tools")
app.command("privacy")(privacy.privacy)
app.command("install")(service.install)
app.command("uninstall")(service.uninstall)
app.command("start")(service.start)
app.command("stop")(service.stop)
app.command("restart")(service.restart)
app.command("load")(control.load)
app.command("unload")(control.unload)
_add_status(app)
app.command("stats")(stats.stats)
_add_menubar(app)
app.command("logs")(logs.logs)
app.command("doctor")(doctor.doctor)
app.command("tune", epilog=tune.EPILOG)(tune.tune)
app.command("bench", epilog=bench.EPILOG)(bench.bench)
app.command("plist")(service.plist)
app.add_typer(config.app, name="config")
app.command("rank", hidden=True)(rank.rank)
app.command("intact", hidden=True)(intact.intact)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mlxoss {__version__}")
        raise typer.Exit


@app.callback()
def _global_options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Options before the subcommand."""


def _app_for(arguments: list[str]) -> typer.Typer:
    """The app that runs these arguments.

    Typer makes the flags of every command before it runs one, which takes a quarter of the
    time that ``status`` may take; so that one stands alone, and ``menubar``, which is run every
    few seconds.
    """
    add = {"status": _add_status, "menubar": _add_menubar}.get("".join(arguments[:1]))
    if add is None:
        return app
    alone = _make_app(completion=False)
    add(alone)
    alone.callback()(_global_options)
    return alone


def main() -> None:
    """Run the command line and exit.

    Codes: 0 done, 2 wrong usage or configuration, 130 interrupted, 1 anything else
    that failed. A failure that was foreseen is one sentence on stderr.
    """
    try:
        _app_for(sys.argv[1:])(prog_name="mlxoss")
    except MlxossError as error:
        typer.echo(f"mlxoss: {error}", err=True)
        sys.exit(2 if isinstance(error, ConfigError) else 1)
    except KeyboardInterrupt:
        sys.exit(130)
