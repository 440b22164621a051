"""The endpoints that run turns or read what is kept. Their modules are imported when used.

Pydantic and openai-harmony are half of the server's imports: not before it listens.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType, ModuleType
from typing import Any, cast
from urllib.parse import unquote

from sanic import HTTPResponse, Request, Websocket

from mlxoss.api.endpoint import BODY, MESSAGES_ERROR, TURN, Endpoint
from mlxoss.server.endpoints import Handler, add_endpoint, describe
from mlxoss.server.http import App
from mlxoss.server.services import Services

_RESPONSE = "/v1/responses/<response_id:str>"
_CONVERSATION = "/v1/conversations/<conversation_id:str>"
_ITEM = f"{_CONVERSATION}/items/<item_id:str>"
_PAGE = ("after", "limit", "order")
_GONE = (404,)


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
    from mlxoss.server import websocket  # noqa: F401


_ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "chat",
        "complete",
        "POST",
        "/v1/chat/completions",
        "Answer a chat.",
        body="ChatRequest",
        answer="ChatCompletion",
        events="ChatCompletionChunk",
        errors=TURN,
    ),
    Endpoint(
        "completions",
        "complete",
        "POST",
        "/v1/completions",
        "Go on from raw prompts.",
        body="CompletionRequest",
        answer="Completion",
        events="Completion",
        errors=TURN,
    ),
    Endpoint(
        "messages",
        "create",
        "POST",
        "/v1/messages",
        "Answer messages as Anthropic's API has them.",
        body="MessagesRequest",
        answer="MessagesMessage",
        events="MessagesEvent",
        errors=TURN,
        error=MESSAGES_ERROR,
    ),
    Endpoint(
        "messages",
        "count_tokens",
        "POST",
        "/v1/messages/count_tokens",
        "Count a prompt's tokens.",
        body="MessagesPromptFields",
        answer="MessagesTokenCount",
        errors=BODY,
        error=MESSAGES_ERROR,
    ),
    Endpoint(
        "responses",
        "create",
        "POST",
        "/v1/responses",
        "Make a response.",
        body="ResponsesRequest",
        answer="Response",
        events="ResponseEvent",
        errors=(404, *TURN),
    ),
    Endpoint(
        "responses",
        "count_input_tokens",
        "POST",
        "/v1/responses/input_tokens",
        "Count a prompt's tokens.",
        body="PromptFields",
        answer="InputTokens",
        errors=(404, *BODY),
    ),
    Endpoint(
        "responses",
        "compact",
        "POST",
        "/v1/responses/compact",
        "Let the model sum up a conversation.",
        body="CompactRequest",
        answer="Compaction",
        errors=(404, *TURN),
    ),
    Endpoint(
        "responses",
        "retrieve",
        "GET",
        _RESPONSE,
        "Get a response, or the events of one in the background.",
        answer="Response",
        events="ResponseEvent",
        query=("stream", "starting_after"),
        errors=_GONE,
    ),
    Endpoint(
        "responses",
        "delete",
        "DELETE",
        _RESPONSE,
        "Delete a response.",
        answer="DeletedResponse",
        errors=_GONE,
    ),
    Endpoint(
        "responses",
        "cancel",
        "POST",
        f"{_RESPONSE}/cancel",
        "Cancel a response in the background.",
        answer="Response",
        errors=_GONE,
    ),
    Endpoint(
        "responses",
        "list_input_items",
        "GET",
        f"{_RESPONSE}/input_items",
        "List what a response was given.",
        answer="ItemList",
        query=_PAGE,
        errors=_GONE,
    ),
    Endpoint(
        "conversations",
        "create",
        "POST",
        "/v1/conversations",
        "Create a conversation.",
        body="ConversationRequest",
        answer="Conversation",
        errors=(404, *BODY),
    ),
    Endpoint(
        "conversations",
        "retrieve",
        "GET",
        _CONVERSATION,
        "Get a conversation.",
        answer="Conversation",
        errors=_GONE,
    ),
    Endpoint(
        "conversations",
        "update",
        "POST",
        _CONVERSATION,
        "Replace a conversation's metadata.",
        body="ConversationUpdate",
        answer="Conversation",
        errors=(404, *BODY),
    ),
    Endpoint(
        "conversations",
        "delete",
        "DELETE",
        _CONVERSATION,
        "Delete a conversation.",
        answer="DeletedConversation",
        errors=_GONE,
    ),
    Endpoint(
        "conversations",
        "list_items",
        "GET",
        f"{_CONVERSATION}/items",
        "List a conversation's items.",
        answer="ItemList",
        query=_PAGE,
        errors=_GONE,
    ),
    Endpoint(
        "conversations",
        "create_items",
        "POST",
        f"{_CONVERSATION}/items",
        "Add items to a conversation.",
        body="ItemsRequest",
        answer="ItemList",
        errors=(404, *BODY),
    ),
    Endpoint(
        "conversations", "retrieve_item", "GET", _ITEM, "Get an item.", answer="Item", errors=_GONE
    ),
    Endpoint(
        "conversations",
        "delete_item",
        "DELETE",
        _ITEM,
        "Delete an item.",
        answer="Conversation",
        errors=_GONE,
    ),
)
"""In its group's module the function ``verb`` answers: it gets the request, services, ids."""

_SOCKET = Endpoint(
    "responses",
    "converse",
    "GET",
    "/v1/responses",
    "Open a WebSocket: 'response.create' frames, one response after the other.",
    statuses=(101,),
    errors=(426,),
)


def add_turn_routes(app: App, services: Services) -> None:
    """Serve all of them on ``app``."""
    for endpoint in _ENDPOINTS:
        add_endpoint(app, endpoint, _lazily(endpoint, services))

    async def converse(request: Request, socket: Websocket) -> None:
        from mlxoss.server import websocket

        await websocket.converse(request, socket, services)

    app.add_websocket_route(converse, _SOCKET.path, error_format="json", name=_SOCKET.name)
    describe(app, _SOCKET)


def _lazily(endpoint: Endpoint, services: Services) -> Handler:
    load = _MODULES[endpoint.group]

    async def handle(request: Request, **ids: Any) -> HTTPResponse | None:
        # Clients choose the ids of items that they add: any text, percent-encoded in a path.
        plain = {key: unquote(value) for key, value in ids.items()}
        answer = getattr(load(), endpoint.verb)(request, services, **plain)
        return cast("HTTPResponse | None", await answer)

    return handle
