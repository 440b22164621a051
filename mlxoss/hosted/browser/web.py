"""Asks the web: the search engine, and the pages.

On the event loop's thread; what blocks runs on threads of its own, so that a name that is looked
up for long keeps nobody else.
"""

from __future__ import annotations

import asyncio
import html
import json
import logging
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from mlxoss.addresses import is_public
from mlxoss.documents.fetch import Fetching, FetchRules, fetch_apart
from mlxoss.errors import FileUnreadable
from mlxoss.hosted.browser.apart import read_apart
from mlxoss.hosted.browser.engines import SearchEngine, SearchRequest
from mlxoss.hosted.browser.failed import BrowserCallFailed
from mlxoss.hosted.browser.pages import MOST_HITS, BrowserPage, Hit, make_web_page, to_source
from mlxoss.hosted.browser.urls import is_web, is_within, to_name

logger = logging.getLogger(__name__)

_TAG = re.compile(r"</?[a-zA-Z][^<>]{0,200}>")
_ACCEPT = "text/html, application/xhtml+xml, text/plain, application/pdf, */*;q=0.1"
_THREADS = 8
_READ_AT_A_TIME = 2
_SHOWN_CHARS = 300


@dataclass(frozen=True, slots=True)
class WebBounds:
    """Most bytes of a page, unpacked, and most seconds to get it; the same of a search."""

    page_bytes: int = 5 << 20
    page_s: float = 20.0
    search_bytes: int = 4 << 20
    search_s: float = 20.0


class Web:
    """The web as the browser asks it."""

    def __init__(self, engine: SearchEngine, bounds: WebBounds | None = None) -> None:
        self._engine = engine
        self._bounds = bounds or WebBounds()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="mlxoss-browser")
        self._reading = asyncio.Semaphore(_READ_AT_A_TIME)

    async def search(self, query: str, domains: Sequence[str]) -> list[Hit]:
        """What the engine finds, within ``domains`` if there are any.

        Raises BrowserCallFailed, which tells nothing of the key.
        """
        names = list(dict.fromkeys(map(to_name, domains)))
        request = self._engine.to_request(query, names)
        answer = await self._ask(request)
        try:
            found = list(self._engine.hits(answer))
        except (KeyError, TypeError, AttributeError, IndexError):
            raise self._failed("it gives an answer of another form") from None
        hits = [_to_plain(hit) for hit in found if is_web(hit.url)]
        if domains:
            hits = [hit for hit in hits if is_within(hit.url, domains)]
        return hits[:MOST_HITS]

    async def open(
        self, url: str, domains: Sequence[str], *, is_source: bool = False
    ) -> BrowserPage:
        """The page, which may have led elsewhere. Raises BrowserCallFailed."""
        fetching = Fetching(url, rules=self._rules(domains))
        shown = url[:_SHOWN_CHARS]
        try:
            contents = await fetch_apart(fetching, self._threads)
        except FileUnreadable as error:
            raise BrowserCallFailed(f"Error fetching URL `{shown}`: {error.reason}.") from None
        place = fetching.url.partition("#")[0]
        async with self._reading:
            found = await read_apart(
                {"url": place, "media_type": contents.media_type, "is_source": is_source},
                contents.data,
            )
        if "lines" not in found:
            raise BrowserCallFailed(f"Error reading URL `{shown}`: {found.get('reason')}.")
        page = make_web_page(place, found.get("title", ""), found["lines"], found["links"])
        return to_source(page) if is_source else page

    def close(self) -> None:
        """Take no work any more. What still runs ends by its own bounds."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _rules(self, domains: Sequence[str]) -> FetchRules:
        def refuse(url: str) -> str | None:
            if domains and not is_within(url, domains):
                return "it is not within the domains that this request allows"
            return None

        return FetchRules(
            most_bytes=self._bounds.page_bytes,
            most_s=self._bounds.page_s,
            headers={"Accept": _ACCEPT},
            refuse=refuse,
            unpacks=True,
        )

    async def _ask(self, request: SearchRequest) -> Any:
        rules = FetchRules(
            most_bytes=self._bounds.search_bytes,
            most_s=self._bounds.search_s,
            most_redirects=0,  # the key is nobody else's
            headers={"Accept": "application/json", **request.headers},
            body=request.body,
            is_open=_is_any if self._engine.is_own else is_public,
            unpacks=True,
        )
        fetching = Fetching(request.url, rules=rules)
        try:
            return json.loads((await fetch_apart(fetching, self._threads)).data)
        except FileUnreadable as error:
            is_refused = fetching.status not in (None, 200)
            raise self._failed(
                self._engine.advise(fetching.status or 0) if is_refused else error.reason
            ) from None
        except (ValueError, RecursionError):
            raise self._failed("it gives no JSON") from None

    def _failed(self, reason: str) -> BrowserCallFailed:
        logger.warning("the search engine %s cannot be used: %s", self._engine.name, reason)
        return BrowserCallFailed(f"Error during search: {self._engine.name}: {reason}.")


def _is_any(_: str) -> bool:
    """The user's own engine may be anywhere."""
    return True


def _to_plain(hit: Hit) -> Hit:
    """Without the markup that some engines leave in texts."""
    return Hit(hit.url, _without_tags(hit.title), _without_tags(hit.snippet))


def _without_tags(text: str) -> str:
    return html.unescape(_TAG.sub("", text))
