"""``/v1/conversations``. Imports pydantic, which is slow."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

from sanic import HTTPResponse, Request

from mlxoss.api.conversations import (
    parse_conversation_request,
    parse_conversation_update,
    parse_items_request,
    to_conversation_object,
    to_deleted_conversation,
)
from mlxoss.api.items_parse import check_items
from mlxoss.api.responses_object import to_item_list
from mlxoss.errors import StoreUnavailable
from mlxoss.server.http import json_response, new_id, read_json_object
from mlxoss.server.responses import page_response, read_page_request
from mlxoss.server.responses_context import Context, Origin, load_context, load_input
from mlxoss.server.responses_kept import to_kept_items, to_text
from mlxoss.server.services import Services
from mlxoss.store import values as kept


async def create(http: Request, services: Services) -> HTTPResponse:
    """``POST /v1/conversations``. Refused where it would end with the process.

    Its object has no field that could say so.
    """
    if services.state.store.stands_in:
        raise StoreUnavailable("Conversations cannot be kept at the moment.")
    request = parse_conversation_request(await read_json_object(http))
    items = await _read_items(services, request.items or [], Context(services.date))
    conversation = kept.StoredConversation(
        new_id("conv_"), int(time.time()), to_text(request.metadata or {})
    )
    await services.state.store.create_conversation(conversation, items)
    return _conversation_response(conversation)


async def retrieve(http: Request, services: Services, conversation_id: str) -> HTTPResponse:
    """``GET /v1/conversations/{id}``."""
    return _conversation_response(await services.state.store.conversation(conversation_id))


async def update(http: Request, services: Services, conversation_id: str) -> HTTPResponse:
    """``POST /v1/conversations/{id}``: its metadata."""
    request = parse_conversation_update(await read_json_object(http))
    metadata = to_text(request.metadata or {})
    store = services.state.store
    return _conversation_response(await store.set_metadata(conversation_id, metadata))


async def delete(http: Request, services: Services, conversation_id: str) -> HTTPResponse:
    """``DELETE /v1/conversations/{id}``."""
    await services.state.store.delete_conversation(conversation_id)
    return json_response(to_deleted_conversation(conversation_id))


async def list_items(http: Request, services: Services, conversation_id: str) -> HTTPResponse:
    """``GET /v1/conversations/{id}/items``."""
    page = read_page_request(http)
    return page_response(await services.state.store.conversation_items(conversation_id, page))


async def create_items(http: Request, services: Services, conversation_id: str) -> HTTPResponse:
    """``POST /v1/conversations/{id}/items``: add them behind the last one."""
    request = parse_items_request(await read_json_object(http))
    store = services.state.store
    origin = Origin(conversation_id=conversation_id)
    context = await load_context(store, origin, services.date)
    items = await _read_items(services, request.items, context)
    await store.append_items(conversation_id, items)
    return json_response(to_item_list([json.loads(item.json) for item in items], has_more=False))


async def retrieve_item(
    http: Request, services: Services, conversation_id: str, item_id: str
) -> HTTPResponse:
    """``GET /v1/conversations/{id}/items/{item_id}``."""
    item = await services.state.store.conversation_item(conversation_id, item_id)
    return json_response(json.loads(item.json))


async def delete_item(
    http: Request, services: Services, conversation_id: str, item_id: str
) -> HTTPResponse:
    """``DELETE /v1/conversations/{id}/items/{item_id}``: the conversation without it."""
    return _conversation_response(await services.state.store.delete_item(conversation_id, item_id))


async def _read_items(
    services: Services, values: Sequence[Any], context: Context
) -> tuple[kept.StoredItem, ...]:
    own = await load_input(services.state.store, values, context, name="items")
    check_items(context.items, own.items, field="items")
    return to_kept_items(own.items)


def _conversation_response(conversation: kept.StoredConversation) -> HTTPResponse:
    metadata = json.loads(conversation.metadata_json)
    return json_response(to_conversation_object(conversation.id, conversation.created_at, metadata))
