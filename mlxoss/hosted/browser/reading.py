"""A page's bytes as lines, in a process of its own: ``python -m mlxoss.hosted.browser.reading``.

Whoever wrote the page wrote a program for its reader. So that one has no more memory and time than
it needs and can be ended at any moment. The first line of stdin is a ``PageHead`` in JSON, then
come the bytes; a ``Reading`` goes out as JSON. Nothing touches the disk or the network.
"""

from __future__ import annotations

import json
import resource
import sys
import textwrap
from typing import NotRequired

from typing_extensions import TypedDict

from mlxoss.documents.pdf import read_pdf, to_limits
from mlxoss.hosted.browser.charsets import to_characters
from mlxoss.hosted.browser.flow import MOST_CHARS, clean, to_line
from mlxoss.hosted.browser.html_text import HtmlText

COLUMNS = 80
MOST_LINES = 60_000
MOST_TITLE_CHARS = 300
_MOST_PROCESSOR_S = 20
_CUT = "[The page is longer; this much of it is kept.]"
_HTML = ("text/html", "application/xhtml+xml")
_TEXTS = ("json", "xml", "javascript", "x-javascript", "ecmascript", "yaml", "x-yaml", "toml")
_LOOKED_AT = 1024
_PDF = "application/pdf"


class PageHead(TypedDict):
    """Whose bytes follow. With ``is_source`` HTML is shown as it is written."""

    url: str
    media_type: str | None
    is_source: bool


class Reading(TypedDict):
    """``lines`` are ``COLUMNS`` wide, ``links`` addresses by their number in them.

    Or ``reason`` is half a sentence about why there are none.
    """

    title: NotRequired[str]
    lines: NotRequired[list[str]]
    links: NotRequired[list[str]]
    reason: NotRequired[str]


def main() -> None:
    """Read, bounded."""
    limits = {**to_limits(sys.platform), resource.RLIMIT_CPU: _MOST_PROCESSOR_S}
    for limit, most in limits.items():
        resource.setrlimit(limit, (most, most))
    head: PageHead = json.loads(sys.stdin.buffer.readline())
    try:
        found = read_page(head, sys.stdin.buffer.read())
    except MemoryError:
        found = {"reason": "it takes too much memory to read"}
    except Exception as error:  # noqa: BLE001 (a parser of anything fails in any way)
        print(f"{type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201
        found = {"reason": "it is damaged"}
    sys.stdout.buffer.write(json.dumps(found).encode())


def read_page(head: PageHead, data: bytes) -> Reading:
    """The page as the model reads it: first its address, then its text."""
    kind = _kind(head["media_type"], data)
    if kind is None:
        told = to_line(head["media_type"] or "", 100)
        return {"reason": f"it is no page of text or HTML and no PDF (its type is '{told}')"}
    if kind == "pdf":
        return _read_pdf(head, data)
    text = to_characters(data, head["media_type"])
    if kind == "html" and not head["is_source"]:
        page = HtmlText(head["url"])
        page.read(text)
        return _to_reading(head, page.title, page.text, page.links)
    return _to_reading(head, "", clean(text.replace("\r\n", "\n")).strip("\n"), [])


def _read_pdf(head: PageHead, data: bytes) -> Reading:
    if not data[:_LOOKED_AT].lstrip().startswith(b"%PDF-"):
        return {"reason": "it is called a PDF and is none"}
    found = read_pdf(data, MOST_CHARS)
    if "pages" not in found:
        return {"reason": f"the PDF cannot be shown: {found.get('reason')}"}
    pages = [f"[page {i}]\n{text}" for i, text in enumerate(found["pages"], start=1)]
    text = "\n\n".join(pages).encode("utf-8", "replace").decode()
    return _to_reading(head, "", clean(text), [])


def _to_reading(head: PageHead, title: str, text: str, links: list[str]) -> Reading:
    lines = wrap(f"\nURL: {to_line(head['url'], 2_000)}\n{text[:MOST_CHARS]}")
    if len(text) > MOST_CHARS or len(lines) > MOST_LINES:
        lines = [*lines[:MOST_LINES], _CUT]
    return {"title": to_line(title, MOST_TITLE_CHARS), "lines": lines, "links": links}


def wrap(text: str) -> list[str]:
    """Lines of ``COLUMNS`` at most, empty ones kept. Takes long for some texts."""
    wrapper = textwrap.TextWrapper(COLUMNS, replace_whitespace=False, drop_whitespace=False)
    return [part for line in text.split("\n") for part in (wrapper.wrap(line) or [""])]


def _kind(media_type: str | None, data: bytes) -> str | None:
    """``pdf``, ``html`` or ``text``, by what it is called and how it begins."""
    told = (media_type or "").partition(";")[0].strip().lower()
    start = data[:_LOOKED_AT].lstrip()
    if told == _PDF or start.startswith(b"%PDF-"):
        return "pdf"
    if b"\0" in start and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return None
    if told in _HTML:
        return "html"
    family, _, name = told.partition("/")
    if family == "text" or (family == "application" and name in _TEXTS):
        return "text"
    if name.endswith(("+json", "+xml", "+yaml")):
        return "text"
    if told in ("", "application/octet-stream"):
        return "html" if start[:15].lower().startswith((b"<!doctype html", b"<html")) else "text"
    return None


if __name__ == "__main__":
    main()
