"""The page at ``/``: files of the package, which hold no data and so need no key."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from types import MappingProxyType

from sanic import HTTPResponse, Request

from mlxoss.api.endpoint import Endpoint
from mlxoss.server.endpoints import Handler, add_endpoint
from mlxoss.server.http import App

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


def _declare(verb: str, path: str, summary: str, media: str) -> Endpoint:
    return Endpoint("page", verb, "GET", path, summary, media=media, has_head=True, needs_key=False)


_FILES: MappingProxyType[str, Endpoint] = MappingProxyType(
    {
        "page.html": _declare("show", "/", "A page to look at and to chat with.", "text/html"),
        "page.css": _declare("style", "/mlxoss/page.css", "How that looks.", "text/css"),
        "page.js": _declare("script", "/mlxoss/page.js", "What it shows.", _SCRIPT),
        "chat.js": _declare("chat", "/mlxoss/chat.js", "Its chat.", _SCRIPT),
        "parts.js": _declare("parts", "/mlxoss/parts.js", "What these two use.", _SCRIPT),
    }
)


def add_page_routes(app: App) -> None:
    """Serve the files on ``app``, each read when it is first asked for."""
    for name, endpoint in _FILES.items():
        assert endpoint.media is not None
        add_endpoint(app, endpoint, _serve(_FOLDER / name, endpoint.media))


def _serve(path: Path, media: str) -> Handler:
    read = cache(path.read_bytes)

    async def answer(request: Request) -> HTTPResponse:
        return HTTPResponse(read(), headers=dict(_HEADERS), content_type=f"{media}; charset=utf-8")

    return answer
