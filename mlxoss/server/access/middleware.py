"""Puts the policy before every request of an app."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sanic import HTTPResponse, Request
from sanic.response import BaseHTTPResponse

from mlxoss.addresses import is_loopback
from mlxoss.api.errors import HttpError, HttpRefusal
from mlxoss.server.access.policy import (
    AccessPolicy,
    Allowed,
    RequestFacts,
    check_access,
    make_policy,
    to_headers,
    to_preflight,
)
from mlxoss.server.http.bodies import MAX_BODY_BYTES, stop_reading
from mlxoss.server.http.errors import App, plain_path
from mlxoss.server.services import Services

_BEARER = re.compile(r" *bearer +(\S+) *", re.IGNORECASE)


def add_access(app: App, services: Services) -> None:
    """Refuse who may not talk to ``app`` before it looks for a route, reads a body or answers.

    What is answered before that is only that a request is no HTTP. A key is needed once one
    exists, and always on a connection from another machine unless ``insecure_no_auth``.
    Endpoints that need none answer without, and find in ``request.ctx.is_known`` how much they may
    say; a preflight never carries one (Fetch Standard). ``request.ctx.key`` is the hash of the
    caller's key, if it has one.
    """
    policy = make_policy(services.config)

    async def let_in(request: Request) -> None:
        verdict = check_access(policy, _to_facts(request))
        if isinstance(verdict, HttpError):
            stop_reading(request, MAX_BODY_BYTES)
            raise HttpRefusal(verdict)
        request.ctx.allowed = verdict
        request.ctx.is_known = is_known(services, request)
        if not (
            request.ctx.is_known
            or plain_path(request) in services.open_paths
            or _is_preflight(request)
        ):
            stop_reading(request, MAX_BODY_BYTES)
            raise make_key_refusal(request)

    async def answer_preflight(request: Request) -> HTTPResponse | None:
        allowed: Allowed | None = getattr(request.ctx, "allowed", None)
        if allowed is None or allowed.origin is None or not _is_preflight(request):
            return None
        return HTTPResponse(status=204, headers=_to_preflight(request))

    async def add_headers(request: Request, response: BaseHTTPResponse) -> None:
        _add_headers(policy, request, response)

    app.signal("http.routing.before")(let_in)
    app.register_middleware(answer_preflight, "request")
    app.register_middleware(add_headers, "response")


def is_known(services: Services, request: Request) -> bool:
    """Whether the caller has a key (``request.ctx.key`` is its hash then), or needs none."""
    request.ctx.key = None
    api_keys = services.storage.api_keys
    for token in _sent_keys(request):
        if admitted := api_keys.admits(token):
            request.ctx.key = admitted.key
            return True
    return api_keys.is_empty and (services.config.insecure_no_auth or _is_local(request))


def _sent_keys(request: Request) -> Iterator[str]:
    """What the caller shows as a key, OpenAI's way and then Anthropic's; one of each at most."""
    bearers = request.headers.getall("authorization", [])
    if len(bearers) == 1 and (match := _BEARER.fullmatch(bearers[0])):
        yield match[1]
    keys = request.headers.getall("x-api-key", [])
    if len(keys) == 1:
        yield keys[0].strip()


def _is_local(request: Request) -> bool:
    """Whether the connection came in on the loopback, or a unix socket."""
    own = _own_name(request)
    return isinstance(own, str) or (isinstance(own, tuple) and is_loopback(own[0]))


def make_key_refusal(request: Request) -> HttpRefusal:
    """What to raise for a caller who is not known."""
    sent = "authorization" in request.headers or "x-api-key" in request.headers
    error = HttpError(
        401,
        ("This API key is not valid" if sent else "An API key is needed")
        + ": send the header 'Authorization: Bearer KEY' or 'x-api-key: KEY' with one that "
        "'mlxoss key create NAME' made on the server's machine.",
        code="invalid_api_key",
    )
    return HttpRefusal(error)


def _own_name(request: Request) -> object:
    """This end of the connection: a tuple that begins with an address, or a unix socket's path."""
    assert request.transport is not None
    return request.transport.get_extra_info("sockname")


def _to_facts(request: Request) -> RequestFacts:
    transport, own = request.transport, _own_name(request)
    assert transport is not None
    # Of absolute form: a proxy's request line.
    target = request.raw_url.partition(b"://")
    authority = None
    if target[1] and not request.raw_url.startswith(b"/"):
        authority = target[2].partition(b"/")[0].partition(b"?")[0].decode("ascii", "replace")
    return RequestFacts(
        hosts=request.headers.getall("host", []),
        origins=request.headers.getall("origin", []),
        authority=authority,
        address=own[0] if isinstance(own, tuple) else None,
        scheme="https" if transport.get_extra_info("sslcontext") else "http",
        version=request.version,
        is_unix=isinstance(own, str),
    )


def _is_preflight(request: Request) -> bool:
    return request.method == "OPTIONS" and "access-control-request-method" in request.headers


def _to_preflight(request: Request) -> dict[str, str]:
    headers = request.headers
    return to_preflight(
        headers.getone("access-control-request-headers", ""),
        private_network=headers.getone("access-control-request-private-network", "") == "true",
    )


def _add_headers(policy: AccessPolicy, request: Request, response: BaseHTTPResponse) -> None:
    allowed: Allowed | None = getattr(request.ctx, "allowed", None)
    if allowed is not None:
        for name, value in to_headers(policy, allowed).items():
            response.headers.setdefault(name, value)
