"""``mlxoss tools enable browser`` and ``disable browser``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from mlxoss.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

_RESTART = "It takes effect with: mlxoss restart"
_SEARXNG = Annotated[
    str | None,
    typer.Option("--searxng", metavar="URL", help="Search by your own SearXNG at this address."),
]
_BRAVE = Annotated[bool, typer.Option("--brave", help="Search by Brave; its key is asked for.")]
_EXA = Annotated[bool, typer.Option("--exa", help="Search by Exa; its key is asked for.")]
_TAVILY = Annotated[bool, typer.Option("--tavily", help="Search by Tavily; its key is asked for.")]
_YOU = Annotated[bool, typer.Option("--you", help="Search by You.com; its key is asked for.")]


def enable(
    searxng: _SEARXNG = None,
    brave: _BRAVE = False,
    exa: _EXA = False,
    tavily: _TAVILY = False,
    you: _YOU = False,
) -> None:
    """Let the model search the web and open public pages. A key may also come by stdin."""
    from mlxoss.config.kinds import WebAddress

    keyed = {"brave": brave, "exa": exa, "tavily": tavily, "you": you}
    chosen = [name for name, is_wanted in keyed.items() if is_wanted]
    if searxng is not None:
        chosen.append("searxng")
    if len(chosen) != 1:
        message = "Name one: --searxng URL, --brave, --exa, --tavily or --you."
        raise ConfigError(message, source="command line")
    (name,) = chosen
    if searxng is None:
        _keep_key(name)
        _set(name, None)
        return
    try:
        _set(name, WebAddress().check(searxng))
    except ValueError as error:
        message = f"--searxng {error}."
        raise ConfigError(message, key="--searxng", source="command line") from None


def disable() -> None:
    """Take the browser away, and forget the keys of search engines."""
    from mlxoss.hosted.browser.keys import drop_search_keys

    drop_search_keys(_folder())
    _change({"tool_browser": None, "searxng_url": None})


def _keep_key(engine: str) -> None:
    from mlxoss.hosted.browser.keys import keep_search_key

    if sys.stdin.isatty():
        key = typer.prompt(f"Key for {engine}", hide_input=True, err=True)
    else:
        key = sys.stdin.readline()
    keep_search_key(_folder(), engine, key.strip())


def _set(engine: str, url: str | None) -> None:
    _change({"tool_browser": engine, "searxng_url": url})


def _change(changes: dict[str, object | None]) -> None:
    from mlxoss import paths
    from mlxoss.cli.this_machine import command_env
    from mlxoss.config import find_config_file
    from mlxoss.service.config_edit import change_config_file

    env = command_env()
    path = find_config_file(None, env, paths.config_file(env)).path
    changed = change_config_file(path, changes)
    typer.echo(_RESTART if changed else "It says so already.")


def _folder() -> Path:
    """Where the server looks for keys."""
    from mlxoss import paths
    from mlxoss.cli.this_machine import command_env

    return paths.data_dir(command_env())
