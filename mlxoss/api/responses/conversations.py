"""The requests and objects of ``/v1/conversations``. Source: OpenAI's API reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from mlxoss.api.responses.answers import ConversationObject, DeletedConversation
from mlxoss.api.responses.items import InputItem
from mlxoss.api.responses.request import Metadata
from mlxoss.api.validation import StrictModel, validate
from mlxoss.core import JsonObject

MAX_ITEMS = 20
"""What one request may add."""

NewItems = Annotated[list[InputItem], Field(max_length=MAX_ITEMS)]


class ConversationRequest(StrictModel):
    """Create a conversation. ``items`` are read by ``parse_items``."""

    items: NewItems | None = None
    metadata: Metadata | None = None


class ConversationUpdate(StrictModel):
    """Replace a conversation's metadata."""

    metadata: Metadata | None


class ItemsRequest(StrictModel):
    """Add items to a conversation."""

    items: Annotated[NewItems, Field(min_length=1)]


def parse_conversation_request(value: JsonObject) -> ConversationRequest:
    """Validate; raises InvalidRequest that names the field."""
    return validate(ConversationRequest, value)


def parse_conversation_update(value: JsonObject) -> ConversationUpdate:
    """Validate; raises InvalidRequest that names the field."""
    return validate(ConversationUpdate, value)


def parse_items_request(value: JsonObject) -> ItemsRequest:
    """Validate; raises InvalidRequest that names the field."""
    return validate(ItemsRequest, value)


def to_conversation_object(
    conversation_id: str, created_at: int, metadata: Mapping[str, str]
) -> ConversationObject:
    """A conversation without its items; ``created_at`` is a Unix time in seconds."""
    return {
        "id": conversation_id,
        "object": "conversation",
        "created_at": created_at,
        "metadata": dict(metadata),
    }


def to_deleted_conversation(conversation_id: str) -> DeletedConversation:
    """The answer to its deletion."""
    return {"id": conversation_id, "object": "conversation.deleted", "deleted": True}
