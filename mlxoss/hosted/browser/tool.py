"""The browser of one server: its sessions, and what they share."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mlxoss import paths
from mlxoss.config import Config
from mlxoss.errors import MlxossError
from mlxoss.harmony.encoding import Encoding, load_encoding
from mlxoss.hosted.browser.chain import Chain, ChainBounds
from mlxoss.hosted.browser.choice import choose_engine
from mlxoss.hosted.browser.session import BrowsingSession, Means
from mlxoss.hosted.browser.web import Web

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BrowserBounds:
    """Most sessions and most bytes of all their pages; those that were not used longest go."""

    sessions: int = 500
    bytes: int = 64 << 20
    chain: ChainBounds = field(default_factory=ChainBounds)


class Browser:
    """A ``BrowserTool``. The event loop's thread. ``load`` is called at the first view."""

    def __init__(
        self, web: Web, load: Callable[[], Encoding], bounds: BrowserBounds | None = None
    ) -> None:
        self._web = web
        self._load = load
        self._bounds = bounds or BrowserBounds()
        self._encoding: Encoding | None = None
        self._chains: OrderedDict[str, Chain] = OrderedDict()

    def session(
        self,
        session_id: str,
        *,
        next_cursor: int,
        said: Sequence[str],
        allowed_domains: Sequence[str],
    ) -> BrowsingSession:
        """Of BrowserTool."""
        chain = self._chains.get(session_id)
        if chain is None:
            chain = self._chains[session_id] = Chain(next_cursor, self._bounds.chain)
        chain.next_cursor = max(chain.next_cursor, next_cursor)
        self._chains.move_to_end(session_id)
        self._forget_oldest()
        return BrowsingSession(chain, Means(self._web, self._get_encoding), said, allowed_domains)

    async def close(self) -> None:
        """Of BrowserTool."""
        self._chains.clear()
        self._web.close()

    def _forget_oldest(self) -> None:
        size = sum(chain.size for chain in self._chains.values())
        while len(self._chains) > 1 and (
            len(self._chains) > self._bounds.sessions or size > self._bounds.bytes
        ):
            _, gone = self._chains.popitem(last=False)
            size -= gone.size

    async def _get_encoding(self) -> Encoding:
        if self._encoding is None:
            self._encoding = await asyncio.to_thread(self._load)
        return self._encoding


def open_browser(config: Config, load: Callable[[], Encoding] = load_encoding) -> Browser | None:
    """The browser that the settings ask for; ``None``, with the reason logged, if there is none.

    ``load`` gives the vocabulary by which views are measured: a server that has it gives its own.
    """
    if config.tool_browser == "off":
        return None
    try:
        engine = choose_engine(config, paths.data_dir())
    except MlxossError as error:
        logger.warning("The browser is not offered: %s", error)
        return None
    return Browser(Web(engine), load)
