"""Conversations between their JSON and the store."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from mlxoss.api.responses.answers import ConversationObject
from mlxoss.api.responses.conversations import to_conversation_object
from mlxoss.api.responses.parse_items import check_items
from mlxoss.store import values as kept
from mlxoss.turns.context import TurnContext
from mlxoss.turns.responses.context import PromptOrigin, load_context, load_input
from mlxoss.turns.responses.kept import to_kept_items, to_text


async def read_new_items(
    context: TurnContext, values: Sequence[object], conversation_id: str | None = None
) -> tuple[kept.StoredItem, ...]:
    """Validate items that are to be added to a conversation, or to a new one.

    Raises InvalidRequest or NotFound that names the item.
    """
    store = context.storage.store
    earlier = await load_context(store, PromptOrigin(conversation_id=conversation_id), context.date)
    own = await load_input(context, values, earlier, name="items")
    check_items(earlier.items, own.items, field="items")
    return to_kept_items(own.items)


def to_metadata(metadata: Mapping[str, str] | None) -> str:
    """Metadata as they are kept."""
    return to_text(metadata or {})


def to_public(conversation: kept.StoredConversation) -> ConversationObject:
    """The public object of a kept conversation."""
    metadata = json.loads(conversation.metadata_json)
    return to_conversation_object(conversation.id, conversation.created_at, metadata)
