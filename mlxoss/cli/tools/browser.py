"""The tool ``browser``: enabled by naming a search engine, disabled, told of."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from mlxoss.cli.tools.told import Told, change_settings
from mlxoss.errors import ConfigError

if TYPE_CHECKING:
    from mlxoss.config import Config

_NAME = "browser"
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
    from mlxoss.cli.this_machine import command_env

    keyed = {"brave": brave, "exa": exa, "tavily": tavily, "you": you}
    chosen = [name for name, is_wanted in keyed.items() if is_wanted]
    env = command_env()
    if len(chosen) + (searxng is not None) != 1:
        message = "Name one: --searxng URL, --brave, --exa, --tavily or --you."
        raise ConfigError(message, source="command line")
    if searxng is not None:
        url = _check_url(searxng)
        change_settings({"tool_browser": "searxng", "searxng_url": url}, env)
        return
    _keep_key(chosen[0], env)
    change_settings({"tool_browser": chosen[0], "searxng_url": None}, env)


def disable() -> None:
    """Take the browser away, and forget the keys of search engines."""
    from mlxoss import paths
    from mlxoss.cli.this_machine import command_env
    from mlxoss.hosted.browser.keys import drop_search_keys

    env = command_env()
    change_settings({"tool_browser": "off", "searxng_url": None}, env)
    if drop_search_keys(paths.data_dir(env)):
        typer.echo("The keys are removed.")


def tell(config: Config, env: Mapping[str, str]) -> Told:
    """Whether it is enabled, and can search."""
    if config.tool_browser == "off":
        return Told(_NAME, "off", "mlxoss tools enable browser --help")
    from mlxoss import paths
    from mlxoss.findings import Level
    from mlxoss.hosted.browser.check import check_browser
    from mlxoss.hosted.browser.web import WebBounds

    check = check_browser(config, paths.data_dir(env))
    if check.level != Level.OK:
        return Told(_NAME, "bad", f"{check.detail} ({check.remedy})")
    bounds = WebBounds()
    pages = f"pages of {bounds.page_bytes >> 20} MB at most within {bounds.page_s:.0f} s"
    return Told(_NAME, "on", f"{check.detail}; public addresses alone, {pages}")


def _check_url(url: str) -> object:
    from mlxoss.config.kinds import WebAddress

    try:
        return WebAddress().check(url)
    except ValueError as error:
        message = f"--searxng {error}."
        raise ConfigError(message, key="--searxng", source="command line") from None


def _keep_key(engine: str, env: Mapping[str, str]) -> None:
    from mlxoss import paths
    from mlxoss.hosted.browser.keys import keep_search_key

    if sys.stdin.isatty():
        key = typer.prompt(f"Key for {engine}", hide_input=True, err=True)
    else:
        key = sys.stdin.readline()
    keep_search_key(paths.data_dir(env), engine, key.strip())
