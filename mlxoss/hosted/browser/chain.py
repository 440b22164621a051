"""What one chain of responses has seen: its pages by number, and the addresses it knows."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from mlxoss.hosted.browser.failed import BrowserCallFailed
from mlxoss.hosted.browser.pages import BrowserPage, PageKind
from mlxoss.hosted.browser.urls import to_key
from mlxoss.outcomes import ShownPage

_MOST_SHOWN = 2_000
_MOST_KNOWN = 20_000


@dataclass(frozen=True, slots=True)
class ChainBounds:
    """Most pages whose text is kept, and most bytes of them; the oldest go first."""

    pages: int = 60
    bytes: int = 16 << 20


class Chain:
    """The pages of one chain. The event loop's thread.

    What was shown of a page is remembered longer than its text. ``next_cursor`` is the number of
    the page to come.
    """

    def __init__(self, next_cursor: int, bounds: ChainBounds) -> None:
        self.next_cursor = next_cursor
        self.size = 0
        self._bounds = bounds
        self._pages: OrderedDict[int, BrowserPage] = OrderedDict()
        self._shown: OrderedDict[int, ShownPage] = OrderedDict()
        self._known: OrderedDict[str, None] = OrderedDict()

    def push(self, page: BrowserPage) -> ShownPage:
        """Give ``page`` the next number."""
        shown = ShownPage(self.next_cursor, page.url, page.title)
        self.next_cursor += 1
        self._shown[shown.cursor] = shown
        if len(self._shown) > _MOST_SHOWN:
            self._shown.popitem(last=False)
        self._pages[shown.cursor] = page
        self._resize()
        while len(self._pages) > self._bounds.pages or self.size > self._bounds.bytes:
            if len(self._pages) == 1:
                break
            self._pages.popitem(last=False)
            self._resize()
        return shown

    def shown(self, cursor: int) -> ShownPage | None:
        """What stands at the head of the page ``cursor``."""
        return self._shown.get(cursor)

    def page(self, cursor: int) -> tuple[int, BrowserPage]:
        """The page of that number, or the newest for -1. Raises BrowserCallFailed."""
        wanted = self.next_cursor - 1 if cursor == -1 else cursor
        if wanted < 0:
            raise BrowserCallFailed("No pages to access! Search, or open an address.")
        if wanted >= self.next_cursor:
            raise BrowserCallFailed(
                f"Cursor `{cursor}` is out of range. "
                f"Available cursor indices: [0 - {self.next_cursor - 1}]."
            )
        found = self._pages.get(wanted)
        if found is None:
            raise BrowserCallFailed(self._tell_gone(wanted))
        return wanted, found

    def of_url(self, url: str) -> BrowserPage | None:
        """The newest page of the web with that address that is kept, no page's source."""
        wanted = to_key(url)
        for page in reversed(self._pages.values()):
            is_itself = page.kind is PageKind.WEB and page.shown_url == page.url
            if is_itself and to_key(page.url) == wanted:
                return page
        return None

    def learn(self, urls: Iterable[str]) -> None:
        """These were shown, so they may be opened by their address."""
        for url in urls:
            key = to_key(url)
            if key is not None:
                self._known[key] = None
                self._known.move_to_end(key)
        while len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)

    def knows(self, key: str) -> bool:
        """Whether an address (``to_key``) was shown."""
        return key in self._known

    def _tell_gone(self, cursor: int) -> str:
        shown = self._shown.get(cursor)
        place = f" (`{shown.url}`)" if shown is not None and shown.url else ""
        return (
            f"The page [{cursor}] is not kept any more. Open it anew by its address{place}, "
            "or search again."
        )

    def _resize(self) -> None:
        """A page that was scrolled has several numbers and is there once."""
        self.size = sum({id(page): page.size for page in self._pages.values()}.values())
