"""``GET /openapi.json``: the description of all endpoints."""

from __future__ import annotations

import asyncio
from functools import cached_property

from sanic import HTTPResponse, Request

from mlxoss import __version__
from mlxoss.api.openapi.endpoint import Endpoint, Shapes
from mlxoss.server.routing import Routes, serves


def _document() -> Shapes:
    from mlxoss.api.openapi.document import OpenApi

    return Shapes(OpenApi)


class DocumentRoutes(Routes):
    """The document of the endpoints on an app."""

    group = "openapi"

    def preload(self) -> None:
        """Make it."""
        assert self._document

    @serves(Endpoint("GET", "/openapi.json", "This document.", _document))
    async def document(self, http: Request) -> HTTPResponse:
        """As it was made, or is made now."""
        # On another thread: pydantic takes a tenth of a second over it.
        body = await asyncio.to_thread(lambda: self._document)
        return HTTPResponse(body, content_type="application/json")

    @cached_property
    def _document(self) -> bytes:
        from mlxoss.api.openapi.document import make_document
        from mlxoss.api.sse import encode_json

        return encode_json(make_document(self.services.endpoints, version=__version__))
