"""Groups of endpoints, each declared beside its handler, and how they get on an app."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, ClassVar, TypeVar, cast
from urllib.parse import unquote

from sanic import HTTPResponse, Request

from mlxoss.api.openapi.endpoint import Endpoint, NamedEndpoint
from mlxoss.server.http.errors import App
from mlxoss.server.services import Services

Handler = Callable[..., Coroutine[Any, Any, HTTPResponse | None]]
HandlerT = TypeVar("HandlerT", bound=Callable[..., Coroutine[Any, Any, Any]])

_DECLARED = "mlxoss_endpoint"


def serves(endpoint: Endpoint) -> Callable[[HandlerT], HandlerT]:
    """Declare that a method of ``Routes`` answers ``endpoint``; its name is the verb.

    It gets the request and the path's ids by name, and reads a body itself. One that opens a
    WebSocket gets that as well.
    """

    def declare(handler: HandlerT) -> HandlerT:
        setattr(handler, _DECLARED, endpoint)
        return handler

    return declare


class Routes:
    """A group of endpoints. What their handlers need is loaded for the first request, or before.

    Pydantic and openai-harmony are half of the server's imports: not before it listens.
    """

    group: ClassVar[str]

    def __init__(self, services: Services) -> None:
        self.services = services
        self._is_preloaded = type(self).preload is Routes.preload

    def preload(self) -> None:
        """Import and read all of it now, on another thread than the event loop's."""

    def preload_once(self) -> None:
        """``preload`` unless that was done. Any thread."""
        if not self._is_preloaded:
            self.preload()
            self._is_preloaded = True

    async def preloaded(self) -> None:
        """Return once that was done; the event loop goes on meanwhile."""
        if not self._is_preloaded:
            await asyncio.to_thread(self.preload_once)

    def endpoints(self) -> Iterator[tuple[NamedEndpoint, Handler]]:
        """The endpoints of the group with their handlers, in the order of their declaration."""
        for verb, member in vars(type(self)).items():
            endpoint: Endpoint | None = getattr(member, _DECLARED, None)
            if endpoint is not None:
                yield NamedEndpoint(self.group, verb, endpoint), getattr(self, verb)


def add_routes(app: App, routes: Routes) -> None:
    """Serve ``routes`` on ``app``; its services' ``endpoints`` tell what there is."""
    for named, handler in routes.endpoints():
        endpoint = named.endpoint
        if endpoint.is_socket:
            app.add_websocket_route(
                cast("Any", handler), endpoint.path, error_format="json", name=named.name
            )
        else:
            app.add_route(
                _once_preloaded(routes, handler),
                endpoint.path,
                methods=list(endpoint.methods),
                # So that the handler also watches whether the client leaves.
                stream=endpoint.reads_body or endpoint.is_slow,
                # Else Sanic reads the handler's source to find out, 2 ms a route.
                error_format="json",
                name=named.name,
            )
        routes.services.endpoints.append(named)


def _once_preloaded(routes: Routes, handler: Handler) -> Handler:
    async def handle(request: Request, **ids: str) -> HTTPResponse | None:
        await routes.preloaded()
        # Clients choose the ids of items that they add: any text, percent-encoded in a path.
        return await handler(request, **{name: unquote(value) for name, value in ids.items()})

    return handle
