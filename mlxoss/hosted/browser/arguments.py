"""The arguments of the browser's functions, as the model writes them.

Source: OpenAI's ``ToolNamespaceConfig.browser()``. ``topn`` and ``source`` are taken and change
nothing: there are as many hits as fit a page, as in OpenAI's own tool, and one back end.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from mlxoss.core import JsonObject
from mlxoss.hosted.browser.failed import BrowserCallFailed

_MOST_QUERY_CHARS = 1_000
_MOST_PATTERN_CHARS = 1_000
_MOST_NUMBER = 1_000_000_000
_SOURCE_PREFIX = "view-source:"


@dataclass(frozen=True, slots=True)
class SearchCall:
    """``search``."""

    query: str


@dataclass(frozen=True, slots=True)
class OpenCall:
    """``open``: the ``url``, or the ``link`` of the page ``cursor``, or that page itself.

    A ``cursor`` of -1 is the newest page, a ``loc`` of -1 where the link leads, ``num_lines`` of -1
    as many as fit.
    """

    url: str | None = None
    link: int = -1
    cursor: int = -1
    loc: int = -1
    num_lines: int = -1
    view_source: bool = False


@dataclass(frozen=True, slots=True)
class FindCall:
    """``find``."""

    pattern: str
    cursor: int = -1


BrowserCall = SearchCall | OpenCall | FindCall


def read_call(function: str, arguments: str) -> BrowserCall:
    """The call. Raises BrowserCallFailed for what is none."""
    try:
        fields = json.loads(arguments) if arguments.strip() else {}
    except (ValueError, RecursionError):
        raise BrowserCallFailed("The arguments are not JSON.") from None
    if not isinstance(fields, dict):
        raise BrowserCallFailed("The arguments are not a JSON object.")
    match function:
        case "search":
            return SearchCall(_text(fields, "query", _MOST_QUERY_CHARS))
        case "open":
            return _read_open(fields)
        case "find":
            pattern = _text(fields, "pattern", _MOST_PATTERN_CHARS)
            return FindCall(pattern, _number(fields, "cursor"))
        case _:
            raise BrowserCallFailed(f"There is no function `{function[:60]}` of the browser.")


def _read_open(fields: JsonObject) -> OpenCall:
    place, url = fields.get("id"), None
    is_source = fields.get("view_source") is True
    if isinstance(place, str) and re.fullmatch(r"[0-9]{1,9}", place.strip()):
        fields = {**fields, "id": int(place)}  # a link's number, as a text
    elif isinstance(place, str):
        is_source = is_source or place.startswith(_SOURCE_PREFIX)
        url = _whole(place.strip().removeprefix(_SOURCE_PREFIX))
        fields = {**fields, "id": None}
    return OpenCall(
        url=url,
        link=_number(fields, "id"),
        cursor=_number(fields, "cursor"),
        loc=_number(fields, "loc"),
        num_lines=_number(fields, "num_lines"),
        view_source=is_source,
    )


def _whole(url: str) -> str:
    return url if "://" in url else f"https://{url}"


def _text(fields: JsonObject, name: str, most_chars: int) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value.strip():
        raise BrowserCallFailed(f"`{name}` has to be a text that is not empty.")
    if len(value) > most_chars:
        raise BrowserCallFailed(f"`{name}` has more than {most_chars} characters.")
    return value


def _number(fields: JsonObject, name: str) -> int:
    value = fields.get(name)
    if value is None:
        return -1
    is_whole = (
        isinstance(value, int | float) and not isinstance(value, bool) and value == value // 1
    )
    if not is_whole or not -1 <= value <= _MOST_NUMBER:
        raise BrowserCallFailed(f"`{name}` has to be a whole number of at least -1.")
    return int(value)
