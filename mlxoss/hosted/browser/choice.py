"""Which search engine the settings name."""

from __future__ import annotations

from pathlib import Path

from mlxoss.config import Config
from mlxoss.errors import ConfigError
from mlxoss.hosted.browser.engines import KEYED, SearchEngine, SearxngEngine
from mlxoss.hosted.browser.keys import read_search_key


def choose_engine(config: Config, folder: Path) -> SearchEngine:
    """The engine of ``tool_browser``, which is not off; its key is in the data folder ``folder``.

    Raises ConfigError where an address or a key is missing, StoreError where keys cannot be read.
    """
    name = config.tool_browser
    if name == "searxng":
        if config.searxng_url is None:
            raise ConfigError(
                "tool_browser is searxng, and searxng_url is not set: "
                "mlxoss tools enable browser --searxng URL",
                key="searxng_url",
            )
        return SearxngEngine(config.searxng_url)
    key = read_search_key(folder, name)
    if key is None:
        message = f"There is no key for {name}: mlxoss tools enable browser --{name}"
        raise ConfigError(message, key="tool_browser")
    return KEYED[name](key)
