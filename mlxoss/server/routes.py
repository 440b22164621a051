"""The endpoints that run turns or read what is kept. Their modules are imported when used.

Pydantic and openai-harmony are half of the server's imports: not before it listens.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType, ModuleType
from typing import Any, cast
from urllib.parse import unquote

from sanic import HTTPResponse, Request, Websocket

from mlxoss.api.endpoint import Endpoint
from mlxoss.server.endpoints import Handler, add_endpoint, describe
from mlxoss.server.http import App
from mlxoss.server.services import Services
from mlxoss.server.turn_endpoints import SOCKET, TURN_ENDPOINTS


def _chat() -> ModuleType:
    from mlxoss.server import chat

    return chat


def _completions() -> ModuleType:
    from mlxoss.server import completions

    return completions


def _messages() -> ModuleType:
    from mlxoss.server import messages

    return messages


def _responses() -> ModuleType:
    from mlxoss.server import responses

    return responses


def _conversations() -> ModuleType:
    from mlxoss.server import conversations

    return conversations


_MODULES: MappingProxyType[str, Callable[[], ModuleType]] = MappingProxyType(
    {
        "chat": _chat,
        "completions": _completions,
        "messages": _messages,
        "responses": _responses,
        "conversations": _conversations,
    }
)
"""What imports an endpoint's module, by its group."""


def load_handlers() -> None:
    """Import everything now, so that the first request need not on the event loop."""
    _chat()
    _completions()
    _messages()
    _conversations()
    from mlxoss.server import metrics, websocket  # noqa: F401


def add_turn_routes(app: App, services: Services) -> None:
    """Serve all of them on ``app``."""
    for endpoint in TURN_ENDPOINTS:
        add_endpoint(app, endpoint, _lazily(endpoint, services))

    async def converse(request: Request, socket: Websocket) -> None:
        from mlxoss.server import websocket

        await websocket.converse(request, socket, services)

    app.add_websocket_route(converse, SOCKET.path, error_format="json", name=SOCKET.name)
    describe(app, SOCKET)


def _lazily(endpoint: Endpoint, services: Services) -> Handler:
    load = _MODULES[endpoint.group]

    async def handle(request: Request, **ids: Any) -> HTTPResponse | None:
        # Clients choose the ids of items that they add: any text, percent-encoded in a path.
        plain = {key: unquote(value) for key, value in ids.items()}
        answer = getattr(load(), endpoint.verb)(request, services, **plain)
        return cast("HTTPResponse | None", await answer)

    return handle
