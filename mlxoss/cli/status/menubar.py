"""``mlxoss menubar``: a plugin for SwiftBar or xbar, and the menu that it shows.

Sources: SwiftBar's README and its parser of lines; xbar's README. The plugin is a few lines of
shell that ask this command for the menu, so an upgrade brings the menu along.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from mlxoss import __version__

if TYPE_CHECKING:
    from mlxoss.config import Config
    from mlxoss.core import JsonMapping
    from mlxoss.service.health import Health

_PLUGIN = Annotated[
    str | None,
    typer.Option("--plugin", metavar="FILE", hidden=True, help="Print the menu of this plugin."),
]
_PATIENCE_S = 1.0
_LINE = "---"
_MOST_CHARS = 100
_OURS = ("MLXOSS_HOME", "MLXOSS_CONFIG")

_SCRIPT = """\
#!/bin/sh
# <xbar.title>mlxoss</xbar.title>
# <xbar.version>v@VERSION@</xbar.version>
# <xbar.author>mlxoss</xbar.author>
# <xbar.desc>State, speed and queue of mlxoss; loads and unloads its model.</xbar.desc>
# <xbar.dependencies>mlxoss</xbar.dependencies>
# <swiftbar.hideRunInTerminal>true</swiftbar.hideRunInTerminal>
#
# Save it in the plugin folder of SwiftBar or xbar under a name like mlxoss.10s.sh (10s is how
# often it looks), and make it executable:
#     mlxoss menubar > FOLDER/mlxoss.10s.sh && chmod +x FOLDER/mlxoss.10s.sh
@EXPORTS@
if ! [ -x @PROGRAM@ ]; then
    echo 'mlxoss ?'
    echo '---'
    echo 'mlxoss is not where it was: print this plugin anew with mlxoss menubar'
    exit 0
fi
case "${1-}" in
    load | unload | start | stop) exec @WORDS@ "$1" ;;
    *) exec @WORDS@ menubar --plugin "$0" ;;
esac
"""


def menubar(plugin: _PLUGIN = None) -> None:
    """Print a plugin that shows the server in macOS's menu bar, for SwiftBar or xbar.

    Save it as mlxoss.10s.sh in the program's plugin folder and make it executable.
    """
    if plugin is None:
        typer.echo(to_script(_own_words(), os.environ), nl=False)
    else:
        typer.echo("\n".join(_menu(plugin)))


def to_script(words: list[str], env: Mapping[str, str]) -> str:
    """The plugin; ``words`` run this program. Folders that ``env`` names are named in it too."""
    exports = [f"export {name}={shlex.quote(env[name])}" for name in _OURS if env.get(name)]
    return (
        _SCRIPT.replace("@VERSION@", __version__)
        .replace("@EXPORTS@\n", "".join(f"{line}\n" for line in exports))
        .replace("@PROGRAM@", shlex.quote(words[0]))
        .replace("@WORDS@", shlex.join(words))
    )


def to_menu(health: Health, url: str, plugin: str, *, is_installed: bool) -> Iterator[str]:
    """The lines for the program that shows the menu: the bar's, ``---``, and the menu's."""
    from mlxoss.service.health import Answered, Refused

    if isinstance(health, Answered):
        yield from _running(health.document, url, plugin)
        if is_installed:
            yield from (_LINE, _action("Stop", "stop", plugin))
        return
    if not isinstance(health, Refused):
        yield from ("mlxoss ⚠", _LINE, _text(f"It does not answer: {health.why}"))
        return
    yield from ("mlxoss ○", _LINE, "Not running")
    if is_installed:
        yield _action("Start", "start", plugin)
    else:
        yield "In a terminal: mlxoss serve"


def _menu(plugin: str) -> list[str]:
    from mlxoss.errors import MlxossError

    try:
        health, config, is_installed = _look()
    except MlxossError as error:
        return ["mlxoss ⚠", _LINE, _text(str(error))]
    return list(to_menu(health, config.url, plugin, is_installed=is_installed))


def _look() -> tuple[Health, Config, bool]:
    from mlxoss import paths
    from mlxoss.cli.options import read_config
    from mlxoss.cli.this_machine import ask_daemon, command_env, installed_machine

    env = command_env()
    config = read_config({}, env=env)
    health = ask_daemon(config, paths.data_dir(env), _PATIENCE_S)
    return health, config, installed_machine() is not None


def _running(report: JsonMapping, url: str, plugin: str) -> Iterator[str]:
    status = str(report.get("status"))
    yield _bar(report, status)
    yield _LINE
    yield _text(f"{report.get('model', 'mlxoss')} ({status})")
    yield f"{_count(report, 'active_requests')} active, {_count(report, 'queued_requests')} queued"
    yield (
        f"decode {_rate(report, 'decode')} tok/s, prefill {_rate(report, 'prefill')} tok/s "
        "(last minute)"
    )
    problems = report.get("problems")
    for problem in problems if isinstance(problems, list) else ():
        yield _text(f"⚠ {problem.get('message')}")
    if report.get("error"):
        yield _text(f"⚠ {report['error']}")
    yield _LINE
    if status == "unloaded":
        yield _action("Load the model", "load", plugin)
    elif status == "ok":
        yield _action("Unload the model", "unload", plugin)
    yield f"Open the page | href={url}/"


def _bar(report: JsonMapping, status: str) -> str:
    """What stands in the menu bar itself: short, since there is little room."""
    if status == "unloaded":
        return "mlxoss ◌"
    if status != "ok":
        return f"mlxoss {_text(status)}"
    mark = " ⚠" if report.get("problems") else ""
    if not _count(report, "active_requests"):
        return f"mlxoss ●{mark}"
    waiting = _count(report, "queued_requests")
    queue = f" +{waiting}" if waiting else ""
    return f"mlxoss {_rate(report, 'decode')} tok/s{queue}{mark}"


def _action(title: str, word: str, plugin: str) -> str:
    quote = "'" if '"' in plugin else '"'
    return f"{title} | bash={quote}{plugin}{quote} param1={word} terminal=false refresh=true"


def _text(text: str) -> str:
    """On one line, and without what begins parameters."""
    line = " ".join(text.replace("|", "¦").split())
    return line if len(line) <= _MOST_CHARS else f"{line[:_MOST_CHARS]}…"


def _count(report: JsonMapping, name: str) -> int:
    found = report.get(name)
    return found if isinstance(found, int) else 0


def _rate(report: JsonMapping, name: str) -> str:
    found = report.get(f"{name}_tokens_per_s")
    return f"{found:.0f}" if isinstance(found, int | float) else "0"


def _own_words() -> list[str]:
    from mlxoss.cli.this_machine import this_program
    from mlxoss.errors import ServiceError
    from mlxoss.hosts import own_command

    try:
        return [str(this_program().path)]
    except ServiceError:
        return own_command()
