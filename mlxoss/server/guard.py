"""Puts the door before every request of an app."""

from __future__ import annotations

from sanic import HTTPResponse, Request
from sanic.http import Http
from sanic.response import BaseHTTPResponse

from mlxoss.api.errors import HttpError
from mlxoss.server.door import Door, Knock, Welcome, judge, make_door, to_headers, to_preflight
from mlxoss.server.http import MAX_BODY_BYTES, App, HttpRefusal
from mlxoss.server.services import Services


def add_guard(app: App, services: Services) -> None:
    """Refuse who may not talk to ``app`` before it looks for a route, reads a body or answers.

    What is answered before that is only that a request is no HTTP.
    """
    door = make_door(services.config)

    async def let_in(request: Request) -> None:
        verdict = judge(door, _to_knock(request))
        if isinstance(verdict, HttpError):
            _read_no_more(request)
            raise HttpRefusal(verdict)
        request.ctx.welcome = verdict

    async def answer_preflight(request: Request) -> HTTPResponse | None:
        welcome: Welcome | None = getattr(request.ctx, "welcome", None)
        if welcome is None or welcome.origin is None or not _is_preflight(request):
            return None
        return HTTPResponse(status=204, headers=_to_preflight(request))

    async def add_headers(request: Request, response: BaseHTTPResponse) -> None:
        _add_headers(door, request, response)

    app.signal("http.routing.before")(let_in)
    app.register_middleware(answer_preflight, "request")
    app.register_middleware(add_headers, "response")


def _to_knock(request: Request) -> Knock:
    transport = request.transport
    assert transport is not None
    own = transport.get_extra_info("sockname")
    # Of absolute form: a proxy's request line.
    target = request.raw_url.partition(b"://")
    authority = None
    if target[1] and not request.raw_url.startswith(b"/"):
        authority = target[2].partition(b"/")[0].partition(b"?")[0].decode("ascii", "replace")
    return Knock(
        hosts=request.headers.getall("host", []),
        origins=request.headers.getall("origin", []),
        authority=authority,
        address=own[0] if isinstance(own, tuple) else None,
        scheme="https" if transport.get_extra_info("sslcontext") else "http",
        version=request.version,
    )


def _read_no_more(request: Request) -> None:
    """Let a refused client send what may be a whole body; one that sends more is cut off."""
    if isinstance(request.stream, Http):
        request.stream.request_max_size = MAX_BODY_BYTES


def _is_preflight(request: Request) -> bool:
    return request.method == "OPTIONS" and "access-control-request-method" in request.headers


def _to_preflight(request: Request) -> dict[str, str]:
    headers = request.headers
    return to_preflight(
        headers.getone("access-control-request-headers", ""),
        private_network=headers.getone("access-control-request-private-network", "") == "true",
    )


def _add_headers(door: Door, request: Request, response: BaseHTTPResponse) -> None:
    welcome: Welcome | None = getattr(request.ctx, "welcome", None)
    if welcome is not None:
        for name, value in to_headers(door, welcome).items():
            response.headers.setdefault(name, value)
