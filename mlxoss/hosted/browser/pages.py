"""The pages that a chain has seen: of the web, of hits, of matches."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from urllib.parse import quote

from mlxoss.hosted.browser.flow import to_line
from mlxoss.hosted.browser.reading import MOST_TITLE_CHARS, wrap
from mlxoss.hosted.browser.urls import to_domain, to_link

MOST_HITS = 20
_MOST_MATCHES = 50
_MATCH_LINES = 4
_SNIPPET_CHARS = 300
_LINKS = re.compile(r"【\d+†([^†】]+)(?:†[^†】]+)?】")
_LINK_BEGINS = re.compile(r"【(\d+)†")
_LINK_GOES_ON = re.compile(r"^[^【】]*】")
_LINK_IS_CUT = re.compile(r"【\d*(?:†([^†】]*)(?:†[^†】]*)?)?$")


class PageKind(Enum):
    """What a page is made of."""

    WEB = "web"
    HITS = "hits"
    MATCHES = "matches"


@dataclass(frozen=True, slots=True)
class BrowserPage:
    """A page as the model reads it.

    ``shown_url`` stands in its head, ``url`` is what a citation leads to; both are empty for hits.
    ``links`` are addresses by their number. Those of matches all lead to one page, each to its line
    in ``places``. ``size`` is how many bytes it takes.
    """

    kind: PageKind
    url: str
    title: str
    lines: tuple[str, ...]
    links: tuple[str, ...] = ()
    places: tuple[int, ...] = ()
    shown_url: str = ""
    size: int = field(init=False)

    def __post_init__(self) -> None:
        size = sum(map(sys.getsizeof, self.lines)) + sum(map(sys.getsizeof, self.links))
        object.__setattr__(self, "size", size)

    def links_in(self, first: int, end: int) -> list[str]:
        """The addresses of links that begin in the lines ``first`` to ``end``."""
        numbers = map(int, _LINK_BEGINS.findall("".join(self.lines[first:end])))
        return [self.links[number] for number in numbers if number < len(self.links)]


@dataclass(frozen=True, slots=True)
class Hit:
    """What a search found. Texts are as they come."""

    url: str
    title: str
    snippet: str


def make_hits_page(query: str, hits: Sequence[Hit]) -> BrowserPage:
    """The page of hits in the form that the model was trained on."""
    rows = [
        f"  * {to_link(i, _to_text(hit.title or hit.url), hit.url, '')} {_to_text(hit.snippet)}"
        for i, hit in enumerate(hits)
    ]
    text = "\n".join(row.rstrip() for row in rows) or "Nothing was found."
    return BrowserPage(
        kind=PageKind.HITS,
        url="",
        title=to_line(query, MOST_TITLE_CHARS),
        lines=tuple(wrap(f"\nURL: \n# Search Results\n\n{text}")),
        links=tuple(hit.url for hit in hits),
    )


def make_web_page(url: str, title: str, lines: Sequence[str], links: Sequence[str]) -> BrowserPage:
    """A page of the web as it was read."""
    name = title or to_domain(url)
    return BrowserPage(PageKind.WEB, url, name, tuple(lines), tuple(links), shown_url=url)


def to_source(page: BrowserPage) -> BrowserPage:
    """The same as the source of what is there."""
    return replace(page, shown_url=f"view-source:{page.url}")


def find_in_page(page: BrowserPage, pattern: str) -> BrowserPage:
    """Where ``pattern`` stands in ``page``, whatever its case: four lines from each match on."""
    lines = _without_links(page.lines)
    wanted, places, at = pattern.lower(), list[int](), 0
    while at < len(lines) and len(places) < _MOST_MATCHES:
        if wanted in lines[at].lower():
            places.append(at)
            at += _MATCH_LINES
        else:
            at += 1
    found = [
        f"# 【{i}†match at L{at}】\n" + "\n".join(lines[at : at + _MATCH_LINES])
        for i, at in enumerate(places)
    ]
    shown = to_line(pattern, MOST_TITLE_CHARS)
    text = "\n\n".join(found) or f"No `find` results for pattern: `{shown}`"
    return BrowserPage(
        kind=PageKind.MATCHES,
        url=page.url,
        title=f"Find results for text: `{shown}` in `{page.title}`",
        lines=tuple(wrap(text)),
        links=(page.url,) * len(places),
        places=tuple(places),
        shown_url=f"{page.url}/find?pattern={quote(pattern)}",
    )


def _to_text(text: str) -> str:
    return to_line(text, _SNIPPET_CHARS).replace("†", "‡")


def _without_links(lines: Sequence[str]) -> list[str]:
    """Lines with the links' texts alone, which no mark of matches may be mistaken for."""
    whole = [_LINK_GOES_ON.sub(lambda cut: cut[0][:-1].partition("†")[0], line) for line in lines]
    whole = [_LINKS.sub(r"\1", line) for line in whole]
    return [_LINK_IS_CUT.sub(lambda cut: cut[1] or "", line) for line in whole]
