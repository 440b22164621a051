"""The page at ``/``: files of the package, which hold no data and so need no key."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from types import MappingProxyType

from sanic import HTTPResponse, Request

from mlxoss.api.openapi.endpoint import Endpoint
from mlxoss.server.routing import Routes, serves

_SCRIPT = "text/javascript"
_FOLDER = Path(__file__).with_name("static")

_HEADERS: MappingProxyType[str, str] = MappingProxyType(
    {
        "content-security-policy": "; ".join(
            (
                "default-src 'none'",
                "script-src 'self'",
                "style-src 'self'",
                "connect-src 'self'",
                "img-src data:",
                "base-uri 'none'",
                "form-action 'none'",
                "frame-ancestors 'none'",
                "require-trusted-types-for 'script'",
            )
        ),
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "cache-control": "no-cache",
    }
)
"""Nothing but these files and this server: no inline script, no frame around it, and no markup
made of text. Source: Content Security Policy Level 3; Trusted Types."""


def _file(path: str, summary: str, media: str) -> Endpoint:
    return Endpoint("GET", path, summary, media=media, has_head=True, needs_key=False)


class PageRoutes(Routes):
    """The files. Whoever asks before they were all read has his read."""

    group = "page"

    def preload(self) -> None:
        """Read them."""
        for name in ("page.html", "page.css", "page.js", "chat.js", "calls.js", "parts.js"):
            _read(name)

    @serves(_file("/", "A page to look at and to chat with.", "text/html"))
    async def show(self, http: Request) -> HTTPResponse:
        """The page."""
        return _respond("page.html", "text/html")

    @serves(_file("/mlxoss/page.css", "How that looks.", "text/css"))
    async def style(self, http: Request) -> HTTPResponse:
        """Its style."""
        return _respond("page.css", "text/css")

    @serves(_file("/mlxoss/page.js", "What it shows.", _SCRIPT))
    async def script(self, http: Request) -> HTTPResponse:
        """Its script."""
        return _respond("page.js", _SCRIPT)

    @serves(_file("/mlxoss/chat.js", "Its chat.", _SCRIPT))
    async def chat(self, http: Request) -> HTTPResponse:
        """The script of its chat."""
        return _respond("chat.js", _SCRIPT)

    @serves(_file("/mlxoss/calls.js", "What led to its answers.", _SCRIPT))
    async def calls(self, http: Request) -> HTTPResponse:
        """The script that shows what led to an answer."""
        return _respond("calls.js", _SCRIPT)

    @serves(_file("/mlxoss/parts.js", "What these use.", _SCRIPT))
    async def parts(self, http: Request) -> HTTPResponse:
        """The script of all."""
        return _respond("parts.js", _SCRIPT)


@cache
def _read(name: str) -> bytes:
    return (_FOLDER / name).read_bytes()


def _respond(name: str, media: str) -> HTTPResponse:
    return HTTPResponse(_read(name), headers=dict(_HEADERS), content_type=f"{media}; charset=utf-8")
