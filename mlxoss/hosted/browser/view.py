"""A stretch of a page as the model reads it: a head, and lines by number.

Source of the form: OpenAI's ``gpt_oss/tools/simple_browser``.
"""

from __future__ import annotations

from urllib.parse import unquote

from mlxoss.harmony.encoding import Encoding
from mlxoss.hosted.browser.failed import BrowserCallFailed
from mlxoss.hosted.browser.flow import to_line
from mlxoss.hosted.browser.pages import BrowserPage

VIEW_TOKENS = 1_024
MOST_VIEW_TOKENS = 8 * VIEW_TOKENS
"""However many lines are asked for."""

_SHOWN_URL_CHARS = 1_024
_LEAST_LINE_TOKENS = 4
"""Of ``L12: `` and a line's end."""


def choose_end(page: BrowserPage, loc: int, num_lines: int, encoding: Encoding) -> int:
    """The line before which a view from ``loc`` ends: ``num_lines``, or what a view holds.

    Raises BrowserCallFailed for a line that is not there. Blocks for a moment; any thread.
    """
    total = len(page.lines)
    if loc >= total:
        message = f"Invalid location parameter: `{loc}`. Cannot exceed page maximum of {total - 1}."
        raise BrowserCallFailed(message)
    most = MOST_VIEW_TOKENS if num_lines > 0 else VIEW_TOKENS
    wanted = num_lines if num_lines > 0 else total
    end = min(total, loc + min(wanted, most // _LEAST_LINE_TOKENS + 1))
    ids = encoding.encode_text(_number(page, loc, end))
    if len(ids) <= most:
        return end
    fit = b"".join(map(encoding.token_bytes, ids[:most])).count(b"\n") + 1  # rounded up
    return min(end, loc + fit)


def show(cursor: int, page: BrowserPage, loc: int, end: int) -> str:
    """The lines ``loc`` to before ``end`` as the page ``cursor``."""
    url = to_line(unquote(page.shown_url), _SHOWN_URL_CHARS)
    head = f"[{cursor}] {page.title} ({url})" if url else f"[{cursor}] {page.title}"
    bar = f"**viewing lines [{loc} - {end - 1}] of {len(page.lines) - 1}**"
    return f"{head}\n{bar}\n\n{_number(page, loc, end)}"


def _number(page: BrowserPage, first: int, end: int) -> str:
    return "\n".join(f"L{i}: {page.lines[i]}" for i in range(first, end))
