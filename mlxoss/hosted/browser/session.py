"""The browser as one request uses it: its chain's pages, what its users said, where it may go."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import islice

from mlxoss.harmony.encoding import Encoding
from mlxoss.hosted.browser.arguments import FindCall, OpenCall, SearchCall, read_call
from mlxoss.hosted.browser.chain import Chain
from mlxoss.hosted.browser.failed import BrowserCallFailed
from mlxoss.hosted.browser.pages import BrowserPage, PageKind, find_in_page, make_hits_page
from mlxoss.hosted.browser.urls import is_web, is_within, to_key, written_in
from mlxoss.hosted.browser.view import choose_end, show
from mlxoss.hosted.browser.web import Web
from mlxoss.outcomes import (
    BrowserAction,
    BrowserOutcome,
    FoundInPage,
    OpenedPage,
    ShownPage,
    WebSearch,
)

_LINES_BEFORE_A_MATCH = 4
_SHOWN_CHARS = 300
_MOST_SAID = 20_000


@dataclass(frozen=True, slots=True)
class Means:
    """What sessions share: the web, and how tokens are counted."""

    web: Web
    encoding: Callable[[], Awaitable[Encoding]]


class BrowsingSession:
    """A ``BrowserSession``. The event loop's thread."""

    def __init__(
        self, chain: Chain, means: Means, said: Sequence[str], allowed_domains: Sequence[str]
    ) -> None:
        self._chain = chain
        self._means = means
        self._said = said
        self._domains = tuple(allowed_domains)
        self._said_keys: frozenset[str | None] | None = None

    def page(self, cursor: int) -> ShownPage | None:
        """Of BrowserSession."""
        return self._chain.shown(cursor)

    async def call(self, function: str, arguments: str) -> BrowserOutcome:
        """Of BrowserSession. Never raises for what the model wrote or the web answered."""
        try:
            call = read_call(function, arguments)
        except BrowserCallFailed as error:
            return BrowserOutcome(str(error), _no_action(function), is_failed=True)
        match call:
            case SearchCall():
                return await self._search(call)
            case OpenCall():
                return await self._open(call)
            case FindCall():
                return await self._find(call)

    async def _search(self, call: SearchCall) -> BrowserOutcome:
        try:
            hits = await self._means.web.search(call.query, self._domains)
            page = make_hits_page(call.query, hits)
            return await self._show(page, WebSearch(call.query, page.links))
        except BrowserCallFailed as error:
            return BrowserOutcome(str(error), WebSearch(call.query), is_failed=True)

    async def _open(self, call: OpenCall) -> BrowserOutcome:
        url = call.url or ""
        try:
            url = url or self._url_of(call)
            page, loc = await self._get(call, url)
            loc = loc if call.loc < 0 else call.loc
            return await self._show(page, OpenedPage(page.url), loc, call.num_lines)
        except BrowserCallFailed as error:
            return BrowserOutcome(str(error), OpenedPage(url), is_failed=True)

    async def _find(self, call: FindCall) -> BrowserOutcome:
        url = ""
        try:
            _, page = self._chain.page(call.cursor)
            url = page.url
            if page.kind is not PageKind.WEB:
                raise BrowserCallFailed(
                    "Cannot run `find` on search results page or find results page"
                )
            self._check_domains(url)
            found = await asyncio.to_thread(find_in_page, page, call.pattern)
            return await self._show(found, FoundInPage(call.pattern, url))
        except BrowserCallFailed as error:
            return BrowserOutcome(str(error), FoundInPage(call.pattern, url), is_failed=True)

    def _url_of(self, call: OpenCall) -> str:
        """Where a link leads, or the page that is shown. Raises BrowserCallFailed."""
        _, page = self._chain.page(call.cursor)
        if call.link < 0:
            return page.url
        if call.link >= len(page.links):
            raise BrowserCallFailed(f"Invalid link id `{call.link}`.")
        return page.links[call.link]

    async def _get(self, call: OpenCall, url: str) -> tuple[BrowserPage, int]:
        """The page of the call, and the line from which it is shown."""
        if call.url is not None:
            await self._check_known(url)
            return await self._fetch(url, call), 0
        _, page = self._chain.page(call.cursor)
        if call.link < 0 and not call.view_source:
            if page.url:
                self._check_domains(page.url)
            return page, 0
        if call.link >= 0:
            self._check_shown(url, call.link)
        self._check_domains(url)
        kept = None if call.view_source else self._chain.of_url(url)
        loc = page.places[call.link] if page.places and call.link >= 0 else 0
        loc -= _LINES_BEFORE_A_MATCH if loc > _LINES_BEFORE_A_MATCH else 0
        return kept or await self._fetch(url, call), loc

    async def _fetch(self, url: str, call: OpenCall) -> BrowserPage:
        if not is_web(url):
            raise BrowserCallFailed(f"`{url[:_SHOWN_CHARS]}` is no http or https address.")
        self._check_domains(url)
        return await self._means.web.open(url, self._domains, is_source=call.view_source)

    def _check_domains(self, url: str) -> None:
        if self._domains and not is_within(url, self._domains):
            raise BrowserCallFailed(
                f"`{url[:_SHOWN_CHARS]}` is not within the domains that this request allows."
            )

    async def _check_known(self, url: str) -> None:
        """An address that the model wrote may carry what it knows, to whoever is there."""
        key = to_key(url)
        if key is None:
            raise BrowserCallFailed(f"`{url[:_SHOWN_CHARS]}` is no http or https address.")
        if self._said_keys is None:
            self._said_keys = await asyncio.to_thread(_keys_in, self._said)
        if key not in self._said_keys and not self._chain.knows(key):
            raise BrowserCallFailed(
                f"`{url[:_SHOWN_CHARS]}` is not opened: the user did not write it, and it is "
                "neither a search result nor a link that was shown. Search for the page, open a "
                "link by its id, or ask the user for the address."
            )

    def _check_shown(self, url: str, link: int) -> None:
        """Of links that the model has not seen, which one it opens would tell something too."""
        key = to_key(url)
        if key is None or not self._chain.knows(key):
            raise BrowserCallFailed(
                f"The link `{link}` was not shown yet: view the lines of the page that hold it."
            )

    async def _show(
        self, page: BrowserPage, action: BrowserAction, loc: int = 0, num_lines: int = -1
    ) -> BrowserOutcome:
        encoding = await self._means.encoding()
        end = await asyncio.to_thread(choose_end, page, loc, num_lines, encoding)
        shown = self._chain.push(page)
        self._chain.learn([page.url, *page.links_in(loc, end)])
        return BrowserOutcome(show(shown.cursor, page, loc, end), action, shown)


def _keys_in(said: Sequence[str]) -> frozenset[str | None]:
    """The addresses in what users said, the newest of them if there are very many."""
    written = (url for text in reversed(said) for url in written_in(text))
    return frozenset(map(to_key, islice(written, _MOST_SAID)))


def _no_action(function: str) -> BrowserAction:
    """What a call that cannot be read was about."""
    match function:
        case "search":
            return WebSearch("")
        case "find":
            return FoundInPage("", "")
        case _:
            return OpenedPage("")
