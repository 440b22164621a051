"""Web addresses: whether two are the same, which stand in a text, which lie within a domain."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from urllib.parse import SplitResult, quote, urlsplit

from mlxoss.addresses import is_host
from mlxoss.hosted.browser.flow import clean

MOST_URL_CHARS = 2_000
_USUAL_PORTS = {"http": 80, "https": 443}
_SAFE = "/%:=&?~#+!$,;'@()*[]"
_WRITTEN = re.compile(
    r"https?://[^\s<>\"'`]{1,2000}"
    r"|(?<![\w@./:-])(?:[a-z0-9-]{1,63}\.){1,10}[a-z]{2,24}(?![\w@-]|\.\w)"
    r"(?:[:/?#][^\s<>\"'`]{0,2000})?",
    re.IGNORECASE,
)
"""Whole addresses, and those that people write: ``example.com/a``."""

_ASCII = re.compile(r"[!-~]+")
_BEHIND = ".,;:!?)]}>*_|"
"""What the words around an address may leave at its end."""


def is_web(url: str) -> bool:
    """Whether ``url`` is a whole http or https address that names no user."""
    return len(url) <= MOST_URL_CHARS and _split(url) is not None


def to_key(url: str) -> str | None:
    """The same for addresses that mean the same page; ``None`` for what is no web address.

    ``http`` and ``https``, a usual port, ``www.``, a fragment and one slash at the end make no
    difference.
    """
    parts = _split(url.strip())
    if parts is None:
        return None
    port = parts.port
    host = _to_host(parts.hostname or "").removeprefix("www.")
    where = host if port in (None, _USUAL_PORTS[parts.scheme]) else f"{host}:{port}"
    path = quote(parts.path, safe=_SAFE).removesuffix("/")
    query = quote(parts.query, safe=_SAFE)
    return f"{where}{path}?{query}" if query else where + path


def to_domain(url: str) -> str:
    """Host and port of an address as it spells them; empty where there is none."""
    try:
        return clean(urlsplit(url).netloc.lower()).replace("†", "‡")
    except ValueError:
        return ""


def to_link(number: int, text: str, url: str, page_url: str) -> str:
    """A link as the model reads it: with its domain where that is another than the page's."""
    domain, own = to_domain(url), to_domain(page_url)
    return f"【{number}†{text}】" if domain == own else f"【{number}†{text}†{domain}】"


def written_in(text: str) -> Iterator[str]:
    """The addresses in what somebody wrote, each as it stands and without what may follow it."""
    for found in _WRITTEN.findall(text):
        url = found if found.lower().startswith(("http://", "https://")) else f"https://{found}"
        yield url
        for part in _ASCII.findall(url)[:1]:
            yield part
            yield part.rstrip(_BEHIND)


def is_within(url: str, domains: Sequence[str]) -> bool:
    """Whether the address lies in one of ``domains`` or below it; with a path, below that too."""
    parts = _split(url)
    if parts is None:
        return False
    host = _to_host(parts.hostname or "")
    return any(_holds(domain, host, parts.path) for domain in domains)


def to_name(domain: str) -> str:
    """The name alone of a domain that may be written with ``https://`` and a path."""
    return _to_host(_parts_of(domain)[0])


def _parts_of(domain: str) -> tuple[str, str]:
    bare = domain.strip().lower()
    name, _, below = (bare.partition("://")[2] or bare).partition("/")
    return name, below.rstrip("/")


def _holds(domain: str, host: str, path: str) -> bool:
    name, below = to_name(domain), _parts_of(domain)[1]
    if not name or not (host == name or host.endswith(f".{name}")):
        return False
    return not below or path.strip("/").lower() == below or path.lower().startswith(f"/{below}/")


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        is_whole = is_host(parts.hostname or " ") and parts.port != 0 and parts.username is None
    except ValueError:
        return None
    return parts if is_whole and parts.scheme in _USUAL_PORTS else None


def _to_host(host: str) -> str:
    """As it is looked up. Unicode's other forms of letters and dots are folded by IDNA."""
    if ":" in host:
        return host
    try:
        return host.encode("idna").decode("ascii").lower().rstrip(".")
    except UnicodeError:
        return host.lower().rstrip(".")
