"""What ``POST /v1/responses/compact`` answers: the user's own words and a sealed summary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlxoss.api.encrypted_content import ContentSeal
from mlxoss.api.items import Item, MessageItem
from mlxoss.api.items_parse import MakeId


def to_compacted_items(
    items: Sequence[Item], summary: str, *, seal: ContentSeal, make_id: MakeId
) -> list[dict[str, Any]]:
    """The items that stand for ``items`` from now on.

    System, developer and user messages stay as they are; ``summary``, which the model
    wrote of everything, is sealed in a compaction item behind them.
    """
    kept = [
        item.to_json()
        for item in items
        if isinstance(item, MessageItem) and item.role != "assistant"
    ]
    compaction = {
        "id": make_id("cmp_"),
        "type": "compaction",
        "encrypted_content": seal.seal_compaction(summary),
    }
    return [*kept, compaction]
