"""The endpoints that run turns or read what is kept. Their modules are imported when used.

Pydantic and openai-harmony are half of the server's imports: not before it listens.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from types import ModuleType
from typing import Any
from urllib.parse import unquote

from sanic import HTTPResponse, Request, Websocket

from mlxoss.server.http import App
from mlxoss.server.services import Services

LoadModule = Callable[[], ModuleType]

_RESPONSE = "/v1/responses/<response_id:str>"
_CONVERSATION = "/v1/conversations/<conversation_id:str>"
_ITEM = f"{_CONVERSATION}/items/<item_id:str>"


def _chat() -> ModuleType:
    from mlxoss.server import chat

    return chat


def _responses() -> ModuleType:
    from mlxoss.server import responses

    return responses


def _conversations() -> ModuleType:
    from mlxoss.server import conversations

    return conversations


def load_handlers() -> None:
    """Import everything now, so that the first request need not on the event loop."""
    _chat()
    _conversations()
    from mlxoss.server import websocket  # noqa: F401


_ROUTES: tuple[tuple[str, str, LoadModule, str], ...] = (
    ("POST", "/v1/chat/completions", _chat, "complete"),
    ("POST", "/v1/responses", _responses, "create"),
    ("POST", "/v1/responses/input_tokens", _responses, "count_input_tokens"),
    ("POST", "/v1/responses/compact", _responses, "compact"),
    ("GET", _RESPONSE, _responses, "retrieve"),
    ("DELETE", _RESPONSE, _responses, "delete"),
    ("POST", f"{_RESPONSE}/cancel", _responses, "cancel"),
    ("GET", f"{_RESPONSE}/input_items", _responses, "list_input_items"),
    ("POST", "/v1/conversations", _conversations, "create"),
    ("GET", _CONVERSATION, _conversations, "retrieve"),
    ("POST", _CONVERSATION, _conversations, "update"),
    ("DELETE", _CONVERSATION, _conversations, "delete"),
    ("GET", f"{_CONVERSATION}/items", _conversations, "list_items"),
    ("POST", f"{_CONVERSATION}/items", _conversations, "create_items"),
    ("GET", _ITEM, _conversations, "retrieve_item"),
    ("DELETE", _ITEM, _conversations, "delete_item"),
)
"""Method, path, and the function that answers: it gets the request, the services, the ids."""


def add_turn_routes(app: App, services: Services) -> None:
    """Serve all of them on ``app``."""
    for method, path, load, name in _ROUTES:
        app.add_route(
            _lazily(load, name, services),
            path,
            methods=[method],
            # A body is read by the handler, which also watches whether the client leaves.
            # A cancellation has none, or one that says nothing.
            stream=method == "POST" and name != "cancel",
            # Else Sanic reads the handler's source to find out, 2 ms a route.
            error_format="json",
            name=f"{load.__name__[1:]}-{name}",
        )

    async def converse(request: Request, socket: Websocket) -> None:
        from mlxoss.server import websocket

        await websocket.converse(request, socket, services)

    app.add_websocket_route(
        converse, "/v1/responses", error_format="json", name="responses-websocket"
    )


def _lazily(
    load: LoadModule, name: str, services: Services
) -> Callable[..., Coroutine[Any, Any, HTTPResponse | None]]:
    async def handle(request: Request, **ids: Any) -> HTTPResponse | None:
        # Clients choose the ids of items that they add: any text, percent-encoded in a path.
        plain = {key: unquote(value) for key, value in ids.items()}
        answer: HTTPResponse | None = await getattr(load(), name)(request, services, **plain)
        return answer

    return handle
