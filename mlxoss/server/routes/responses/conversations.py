"""``/v1/conversations``."""

from __future__ import annotations

import time

from sanic import HTTPResponse, Request

from mlxoss.api.openapi.endpoint import BODY, Endpoint, Shapes
from mlxoss.errors import StoreUnavailable
from mlxoss.ids import new_id
from mlxoss.server.http.bodies import json_response, read_json_object
from mlxoss.server.routes.responses.items import PAGE, read_page_request, to_page
from mlxoss.server.routing import Routes, serves
from mlxoss.store import values as kept
from mlxoss.store.store import Store

_CONVERSATION = "/v1/conversations/<conversation_id:str>"
_ITEM = f"{_CONVERSATION}/items/<item_id:str>"
_GONE = (404,)


def _create() -> Shapes:
    from mlxoss.api.responses.answers import ConversationObject
    from mlxoss.api.responses.conversations import ConversationRequest

    return Shapes(ConversationObject, ConversationRequest)


def _update() -> Shapes:
    from mlxoss.api.responses.answers import ConversationObject
    from mlxoss.api.responses.conversations import ConversationUpdate

    return Shapes(ConversationObject, ConversationUpdate)


def _conversation() -> Shapes:
    from mlxoss.api.responses.answers import ConversationObject

    return Shapes(ConversationObject)


def _deleted() -> Shapes:
    from mlxoss.api.responses.answers import DeletedConversation

    return Shapes(DeletedConversation)


def _items() -> Shapes:
    from mlxoss.api.responses.item_answers import ItemList

    return Shapes(ItemList)


def _new_items() -> Shapes:
    from mlxoss.api.responses.conversations import ItemsRequest
    from mlxoss.api.responses.item_answers import ItemList

    return Shapes(ItemList, ItemsRequest)


def _item() -> Shapes:
    from mlxoss.api.responses.item_answers import ListedItem

    return Shapes(ListedItem)


class ConversationRoutes(Routes):
    """Conversations and their items."""

    group = "conversations"

    def preload(self) -> None:
        """Import what is needed."""
        from mlxoss.turns.responses import conversations  # noqa: F401

    @property
    def _store(self) -> Store:
        return self.services.turns.storage.store

    @serves(
        Endpoint(
            "POST", "/v1/conversations", "Create a conversation.", _create, errors=(404, *BODY)
        )
    )
    async def create(self, http: Request) -> HTTPResponse:
        """Refused where it would end with the process: its object has no field to say so."""
        from mlxoss.api.responses.conversations import parse_conversation_request
        from mlxoss.turns.responses.conversations import read_new_items, to_metadata

        if self._store.stands_in:
            raise StoreUnavailable("Conversations cannot be kept at the moment.")
        request = parse_conversation_request(await read_json_object(http))
        items = await read_new_items(self.services.turns, request.items or [])
        metadata = to_metadata(request.metadata)
        conversation = kept.StoredConversation(new_id("conv_"), int(time.time()), metadata)
        await self._store.create_conversation(conversation, items)
        return _respond(conversation)

    @serves(Endpoint("GET", _CONVERSATION, "Get a conversation.", _conversation, errors=_GONE))
    async def retrieve(self, http: Request, conversation_id: str) -> HTTPResponse:
        """The conversation without its items."""
        return _respond(await self._store.conversation(conversation_id))

    @serves(
        Endpoint(
            "POST",
            _CONVERSATION,
            "Replace a conversation's metadata.",
            _update,
            errors=(404, *BODY),
        )
    )
    async def update(self, http: Request, conversation_id: str) -> HTTPResponse:
        """Its metadata anew."""
        from mlxoss.api.responses.conversations import parse_conversation_update
        from mlxoss.turns.responses.conversations import to_metadata

        request = parse_conversation_update(await read_json_object(http))
        metadata = to_metadata(request.metadata)
        return _respond(await self._store.set_metadata(conversation_id, metadata))

    @serves(Endpoint("DELETE", _CONVERSATION, "Delete a conversation.", _deleted, errors=_GONE))
    async def delete(self, http: Request, conversation_id: str) -> HTTPResponse:
        """The conversation and its items."""
        from mlxoss.api.responses.conversations import to_deleted_conversation

        await self._store.delete_conversation(conversation_id)
        return json_response(to_deleted_conversation(conversation_id))

    @serves(
        Endpoint(
            "GET",
            f"{_CONVERSATION}/items",
            "List a conversation's items.",
            _items,
            query=PAGE,
            errors=_GONE,
        )
    )
    async def list_items(self, http: Request, conversation_id: str) -> HTTPResponse:
        """A page of its items."""
        page = read_page_request(http)
        return json_response(to_page(await self._store.conversation_items(conversation_id, page)))

    @serves(
        Endpoint(
            "POST",
            f"{_CONVERSATION}/items",
            "Add items to a conversation.",
            _new_items,
            errors=(404, *BODY),
        )
    )
    async def create_items(self, http: Request, conversation_id: str) -> HTTPResponse:
        """Add them behind the last one."""
        from mlxoss.api.responses.conversations import parse_items_request
        from mlxoss.turns.responses.conversations import read_new_items

        request = parse_items_request(await read_json_object(http))
        items = await read_new_items(self.services.turns, request.items, conversation_id)
        await self._store.append_items(conversation_id, items)
        return json_response(to_page(kept.Page(items, has_more=False)))

    @serves(Endpoint("GET", _ITEM, "Get an item.", _item, errors=_GONE))
    async def retrieve_item(
        self, http: Request, conversation_id: str, item_id: str
    ) -> HTTPResponse:
        """One of its items."""
        from mlxoss.turns.responses.kept import read_listed

        (item,) = read_listed([await self._store.conversation_item(conversation_id, item_id)])
        return json_response(item)

    @serves(Endpoint("DELETE", _ITEM, "Delete an item.", _conversation, errors=_GONE))
    async def delete_item(self, http: Request, conversation_id: str, item_id: str) -> HTTPResponse:
        """The conversation without it."""
        return _respond(await self._store.delete_item(conversation_id, item_id))


def _respond(conversation: kept.StoredConversation) -> HTTPResponse:
    from mlxoss.turns.responses.conversations import to_public

    return json_response(to_public(conversation))
