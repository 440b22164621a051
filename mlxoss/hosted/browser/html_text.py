"""HTML as the text that the model was trained to read: links by number, blocks as lines.

No tree is built, so how deep a page nests does not count. It runs in a process of its own
(``reading.py``): a page is written by whoever wants to, and can make any parser take long.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from html.parser import HTMLParser
from urllib.parse import urljoin

from mlxoss.hosted.browser.flow import Flow, PageFull, clean, to_line
from mlxoss.hosted.browser.urls import MOST_URL_CHARS, is_web, to_link

MOST_TAGS = 200_000
MOST_LINKS = 5_000
_LINK_CHARS = 1_000
_NAME_CHARS = 300

_SKIPPED = frozenset(
    (
        *("script", "style", "template", "svg", "math", "iframe", "object", "canvas", "video"),
        *("audio", "select", "textarea", "noembed", "noframes"),
    )
)
_PARAGRAPHS = frozenset(
    (
        *("p", "div", "section", "article", "main", "header", "footer", "nav", "aside", "form"),
        *("fieldset", "figure", "figcaption", "address", "table", "ul", "ol", "dl", "blockquote"),
        *("pre", "details", "dialog", "h1", "h2", "h3", "h4", "h5", "h6"),
    )
)
_LINES = frozenset(("li", "tr", "dt", "dd", "caption", "summary", "legend", "center", "hgroup"))
_INLINE = frozenset(
    (
        *("a", "abbr", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em"),
        *("font", "i", "ins", "kbd", "mark", "q", "s", "samp", "small", "span", "strike"),
        *("strong", "sub", "sup", "time", "tt", "u", "var", "wbr"),
    )
)
_HEADINGS = frozenset(("h1", "h2", "h3", "h4", "h5", "h6"))
_FOREIGN = frozenset(("svg", "math"))
_MOST_DEPTH = 20
_SCRIPTS = {"sup": "^", "sub": "_"}
_WORD = re.compile(r"[\w-]{1,50}")

_Attributes = Mapping[str, str | None]


class _Link:
    """An ``a`` that is open, and what it holds so far."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.text: list[str] = []
        self.chars = 0


class HtmlText(HTMLParser):
    """Feed it a page once, then ask for ``title``, ``text`` and ``links``.

    ``url`` is the page's own. ``links`` are the addresses by their number in the text; equal ones
    have the same.
    """

    def __init__(self, url: str) -> None:
        super().__init__(convert_charrefs=True)
        self.links: list[str] = []
        self._ids: dict[str, int] = {}
        self._base, self._url = url, url
        self._flow = Flow()
        self._link: _Link | None = None
        self._skipped, self._skipped_depth = "", 0
        self._lists: list[int | None] = []
        self._title: list[str] = []
        self._titles = 0
        self._is_title, self._verbatim, self._quotes = False, 0, 0
        self._tags, self._images, self._last = 0, 0, ""

    def read(self, html: str) -> None:
        """Read all of it, or as far as its bounds allow."""
        try:
            self.feed(html)
            self.close()
        except PageFull:
            self._link = None
        else:
            self._close_link()

    @property
    def title(self) -> str:
        """What the first of the page's titles says, in one line."""
        return to_line("".join(self._title), _NAME_CHARS)

    @property
    def text(self) -> str:
        """The page's text."""
        return self._flow.text

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Of HTMLParser: begin what the tag begins."""
        self._tags += 1
        if self._tags > MOST_TAGS:
            raise PageFull
        if self._skipped:
            self._skipped_depth += tag == self._skipped
        elif tag in _SKIPPED:
            self._skipped, self._skipped_depth = tag, 1
        else:
            self._begin(tag, dict(reversed(attrs)))
            self._last = tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Of HTMLParser: in HTML ``<p/>`` is ``<p>``, but within SVG and MathML."""
        self.handle_starttag(tag, attrs)
        if tag in _FOREIGN:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        """Of HTMLParser: end what the tag ends."""
        self._last = ""
        if self._skipped:
            self._skipped_depth -= tag == self._skipped
            if self._skipped_depth == 0:
                self._skipped = ""
        else:
            self._end(tag)

    def handle_data(self, data: str) -> None:
        """Of HTMLParser: text, its character references resolved."""
        if self._skipped:
            return
        if self._is_title:
            if self._titles == 1:
                self._title.append(data)
            return
        text = clean(data)
        if self._last in _SCRIPTS and _WORD.fullmatch(text):
            text = f"{_SCRIPTS[self._last]}{{{text}}}"
        self._last = ""
        self._write(text)

    def parse_marked_section(self, i: int, report: bool = True) -> int:
        """Of HTMLParser, which raises for one that it does not know; in HTML it is a comment."""
        return self.parse_bogus_comment(i, report)

    def _write(self, text: str) -> None:
        if self._link is not None:
            self._link.text.append(text)
            self._link.chars += len(text)
            if self._link.chars > _LINK_CHARS:  # its end tag was forgotten
                self._close_link()
        elif self._verbatim:
            self._flow.add_verbatim(text)
        else:
            self._flow.add(text)

    def _begin(self, tag: str, attrs: _Attributes) -> None:
        self._break(tag)
        if tag in _HEADINGS:
            self._mark("#" * int(tag[1]) + " ")
        elif (begin := _BEGIN.get(tag)) is not None:
            begin(self, attrs)

    def _end(self, tag: str) -> None:
        if (end := _END.get(tag)) is not None:
            end(self)
        self._break(tag)

    def _break(self, tag: str) -> None:
        if tag in _PARAGRAPHS:
            is_inner = tag in ("ul", "ol") and len(self._lists) > 0
            self._end_line(1 if is_inner else 2)
        elif tag in _LINES:
            self._end_line()
        elif tag not in _INLINE:
            self._space()

    def _end_line(self, lines: int = 1) -> None:
        if self._link is None:
            self._flow.end_line(lines)
        else:  # a link stands in one line
            self._link.text.append(" ")

    def _space(self) -> None:
        if self._link is None:
            self._flow.add_space()
        else:
            self._link.text.append(" ")

    def _mark(self, text: str) -> None:
        if self._link is None:
            self._flow.mark(text)

    def _quote(self, step: int) -> None:
        self._quotes = min(max(0, self._quotes + step), _MOST_DEPTH)
        self._flow.prefix = "> " * self._quotes

    def _begin_quote(self, _: _Attributes) -> None:
        self._quote(1)

    def _end_quote(self) -> None:
        self._quote(-1)

    def _begin_verbatim(self, _: _Attributes) -> None:
        self._verbatim += 1

    def _end_verbatim(self) -> None:
        self._verbatim = max(0, self._verbatim - 1)

    def _begin_title(self, _: _Attributes) -> None:
        self._is_title = True
        self._titles += 1

    def _end_title(self) -> None:
        self._is_title = False

    def _set_base(self, attrs: _Attributes) -> None:
        self._base = _join(self._url, attrs.get("href") or "") or self._url

    def _break_line(self, _: _Attributes) -> None:
        self._end_line()

    def _draw_rule(self, _: _Attributes) -> None:
        self._end_line(2)
        self._mark("* * *")
        self._end_line(2)

    def _begin_list(self, _: _Attributes) -> None:
        self._lists = [*self._lists, None][-_MOST_DEPTH:]

    def _begin_numbers(self, _: _Attributes) -> None:
        self._lists = [*self._lists, 0][-_MOST_DEPTH:]

    def _end_list(self) -> None:
        self._lists = self._lists[:-1]

    def _begin_item(self, _: _Attributes) -> None:
        mark = "*"
        if self._lists and (number := self._lists[-1]) is not None:
            self._lists[-1] = number + 1
            mark = f"{number + 1}."
        self._mark("  " * max(1, len(self._lists)) + mark + " ")

    def _begin_definition(self, _: _Attributes) -> None:
        self._mark("    ")

    def _show_image(self, attrs: _Attributes) -> None:
        about = to_line(attrs.get("alt") or attrs.get("title") or "", _NAME_CHARS)
        self._write(f"[Image {self._images}: {about}]" if about else f"[Image {self._images}]")
        self._images += 1

    def _begin_link(self, attrs: _Attributes) -> None:
        self._close_link()
        href = attrs.get("href")
        if href is not None and not href.strip().startswith("#"):
            url = _join(self._base, href)
            if url is not None:
                self._link = _Link(url)

    def _close_link(self) -> None:
        link, self._link = self._link, None
        whole = "".join(link.text) if link is not None else ""
        text = " ".join(whole.split()).replace("†", "‡")
        if link is None or not text:
            return
        number = self._ids.get(link.url)
        if number is None and len(self.links) < MOST_LINKS:
            number = self._ids[link.url] = len(self.links)
            self.links.append(link.url)
        if number is not None:
            text = to_link(number, text, link.url, self._url)
        self._flow.add(f" {text}" if whole[0].isspace() else text)
        if whole[-1].isspace():
            self._flow.add_space()


_BEGIN: Mapping[str, Callable[[HtmlText, _Attributes], None]] = {
    "a": HtmlText._begin_link,
    "base": HtmlText._set_base,
    "blockquote": HtmlText._begin_quote,
    "br": HtmlText._break_line,
    "dd": HtmlText._begin_definition,
    "hr": HtmlText._draw_rule,
    "img": HtmlText._show_image,
    "li": HtmlText._begin_item,
    "ol": HtmlText._begin_numbers,
    "pre": HtmlText._begin_verbatim,
    "title": HtmlText._begin_title,
    "ul": HtmlText._begin_list,
}
_END: Mapping[str, Callable[[HtmlText], None]] = {
    "a": HtmlText._close_link,
    "blockquote": HtmlText._end_quote,
    "ol": HtmlText._end_list,
    "pre": HtmlText._end_verbatim,
    "title": HtmlText._end_title,
    "ul": HtmlText._end_list,
}


def _join(base: str, href: str) -> str | None:
    """The address of a link; ``None`` where it is none that can be opened."""
    if len(href) > MOST_URL_CHARS:
        return None
    try:
        url = urljoin(base, href.strip())
    except ValueError:
        return None
    return url if is_web(url) else None
