"""Whether the browser can do what the settings say, for ``mlxoss doctor``."""

from __future__ import annotations

import asyncio
from pathlib import Path

from mlxoss.config import Config
from mlxoss.documents.fetch import Fetching, FetchRules, fetch_apart
from mlxoss.errors import ConfigError, FileUnreadable, StoreError
from mlxoss.findings import Check, Level
from mlxoss.hosted.browser.choice import choose_engine
from mlxoss.hosted.browser.engines import SearxngEngine

_NAME = "browser"
_CHANGE = "Change that, restart SearXNG, and ask again: mlxoss doctor"
_ENABLE = "mlxoss tools enable browser --help"
_MOST_S = 3.0
_ANSWERS_JSON = (200, 400)
"""To a query that is empty SearXNG answers 400, once it has found that the format is allowed."""


def check_browser(config: Config, folder: Path) -> Check:
    """What of it is wrong, while it is enabled. A key is not tried: that may cost something.

    Your own SearXNG is asked for nothing at all, which it passes on to nobody. Blocks for three
    seconds at most.
    """
    try:
        engine = choose_engine(config, folder)
    except ConfigError as error:
        return Check(_NAME, Level.FAIL, str(error), _ENABLE)
    except StoreError as error:
        return Check(_NAME, Level.FAIL, str(error), "mlxoss tools disable browser")
    if isinstance(engine, SearxngEngine):
        return _check_searxng(engine)
    return Check(_NAME, Level.OK, f"searches by {engine.name}, whose key is there (not tried)")


def _check_searxng(engine: SearxngEngine) -> Check:
    rules = FetchRules(most_s=_MOST_S, most_redirects=0, is_open=lambda _: True)
    fetching = Fetching(engine.to_request("", ()).url, rules=rules)
    try:
        asyncio.run(fetch_apart(fetching))
    except FileUnreadable as error:
        if fetching.status is None:
            return Check(_NAME, Level.FAIL, f"SearXNG at {engine.url}: {error.reason}", _ENABLE)
    status = fetching.status or 0
    if status in _ANSWERS_JSON:
        return Check(_NAME, Level.OK, f"searches by SearXNG at {engine.url}")
    advice = engine.advise(status)
    return Check(_NAME, Level.FAIL, f"SearXNG at {engine.url}: {advice}", _CHANGE)
