"""The marks by which gpt-oss cites pages, as links with their places in the text.

The model writes ``【3†L5-L8】``: lines of the page 3. The text gets a link in its place, as answers
of OpenAI's have it, and the mark is never seen, not even in halves: text that may be the beginning
of one waits until it is known. Indices count code points, as Python's strings do, and the end is
behind the last one, so that a slice of the text is the link.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import urlsplit

from mlxoss.outcomes import ShownPage

FindPage = Callable[[int], ShownPage | None]
"""The page of a number, if it is known."""

_MARK = re.compile(r"【(\d{1,9})†[^†【】\n]{1,80}(?:†[^†【】\n]{1,253})?】")
_BEGINNING = re.compile(
    r"【(?:\d{0,9}|\d{1,9}†[^†【】\n]{0,80}|\d{1,9}†[^†【】\n]{1,80}†[^†【】\n]{0,253})\Z"
)
_OPENING = "【"
_ESCAPES = MappingProxyType(
    {ord(char): f"%{ord(char):02X}" for char in " \"'()<>[\\]^`{|}"}
    | {code: f"%{code:02X}" for code in (*range(32), 127)}
)
"""What would end a link, or the text in JSON that it stands in."""


@dataclass(frozen=True, slots=True)
class Citation:
    """A link to a page, at ``start`` to ``end`` in the text, the end not included."""

    start: int
    end: int
    url: str
    title: str


class CitedText:
    """Text with marks on its way to be text with links. ``find`` gives the pages.

    Of a page that is unknown, or has no address, the mark stays as it is.
    """

    def __init__(self, find: FindPage) -> None:
        self._find = find
        self._waiting = ""
        self._length = 0
        self._ends_in_space = True

    def add(self, text: str) -> tuple[str, tuple[Citation, ...]]:
        """The text that is known by now, and what is cited in it."""
        self._waiting += text
        return self._release(self._known_length())

    def close(self) -> tuple[str, tuple[Citation, ...]]:
        """The rest."""
        return self._release(len(self._waiting))

    def _known_length(self) -> int:
        beginning = _BEGINNING.search(self._waiting, max(0, self._waiting.rfind(_OPENING)))
        return len(self._waiting) if beginning is None else beginning.start()

    def _release(self, length: int) -> tuple[str, tuple[Citation, ...]]:
        known, self._waiting = self._waiting[:length], self._waiting[length:]
        said: list[str] = []
        citations: list[Citation] = []
        position = 0
        for mark in _MARK.finditer(known):
            page = self._find(int(mark[1]))
            if page is None or not page.url:
                continue
            said += self._note(known[position : mark.start()])
            said += self._note("" if self._ends_in_space else " ")
            link = to_link(page.url)
            citations.append(
                Citation(self._length, self._length + len(link), page.url, page.title or page.url)
            )
            said += self._note(link)
            position = mark.end()
        said += self._note(known[position:])
        return "".join(said), tuple(citations)

    def _note(self, text: str) -> Iterator[str]:
        if text:
            self._length += len(text)
            self._ends_in_space = text[-1].isspace()
            yield text


def to_link(url: str) -> str:
    """A link in Markdown, by the name of its site."""
    try:
        host = urlsplit(url).hostname or url
    except ValueError:
        host = url
    escaped = url.translate(_ESCAPES)
    return f"([{host.removeprefix('www.').translate(_ESCAPES)}]({escaped}))"
