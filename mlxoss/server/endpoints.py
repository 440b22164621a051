"""Puts endpoints on an app, and tells what they are: ``GET /openapi.json``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import cache
from typing import Any

from sanic import HTTPResponse, Request

from mlxoss import __version__
from mlxoss.api.endpoint import Endpoint
from mlxoss.server.http import App

Handler = Callable[..., Coroutine[Any, Any, HTTPResponse | None]]

_DOCUMENT = Endpoint("openapi", "document", "GET", "/openapi.json", "This document.", "OpenApi")


def add_endpoint(app: App, endpoint: Endpoint, handler: Handler) -> None:
    """Serve and describe it. A body is read by ``handler``, which gets the path's ids by name."""
    app.add_route(
        handler,
        endpoint.path,
        methods=list(endpoint.methods),
        # So that the handler also watches whether the client leaves.
        stream=endpoint.body is not None or endpoint.is_slow,
        # Else Sanic reads the handler's source to find out, 2 ms a route.
        error_format="json",
        name=endpoint.name,
    )
    describe(app, endpoint)


def describe(app: App, endpoint: Endpoint) -> None:
    """Tell of an endpoint that is on ``app``."""
    app.ctx.endpoints = (*getattr(app.ctx, "endpoints", ()), endpoint)


def open_paths(app: App) -> frozenset[str]:
    """The paths of ``app`` that need no key."""
    return frozenset(each.path for each in app.ctx.endpoints if not each.needs_key)


def add_document_route(app: App) -> None:
    """Serve the description of all endpoints, made when it is first asked for."""

    @cache
    def make() -> bytes:
        from mlxoss.api.openapi import make_document
        from mlxoss.api.sse import encode_json

        return encode_json(make_document(app.ctx.endpoints, version=__version__))

    async def document(request: Request) -> HTTPResponse:
        # On another thread: pydantic takes a tenth of a second over it.
        body = await asyncio.to_thread(make)
        return HTTPResponse(body, content_type="application/json")

    add_endpoint(app, _DOCUMENT, document)
