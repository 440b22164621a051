"""What a response goes on from: kept responses, a conversation, items pointed at."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field

from mlxoss.api.errors import invalid
from mlxoss.api.responses.attachments import find_files
from mlxoss.api.responses.item_answers import ListedItem
from mlxoss.api.responses.items import Item
from mlxoss.api.responses.items_to_prompt import issued_call_ids
from mlxoss.api.responses.parse_items import parse_items, read_items, referenced_ids
from mlxoss.errors import NotFound
from mlxoss.ids import new_id
from mlxoss.store import values as kept
from mlxoss.store.store import Store
from mlxoss.turns.context import TurnContext
from mlxoss.turns.files import read_files
from mlxoss.turns.recall import turns_of_calls
from mlxoss.turns.responses.kept import read_jsons


@dataclass(frozen=True, slots=True)
class ConversationContext:
    """The conversation before a request's own input, and the exact turns known of it.

    ``date`` is the conversation's. ``is_kept`` says whether the store can give it again.
    """

    date: datetime.date
    items: tuple[Item, ...] = ()
    turns: tuple[kept.StoredTurn, ...] = ()
    is_kept: bool = True


@dataclass(frozen=True, slots=True)
class LocalResponse:
    """A response that one connection remembers, kept in the store or not."""

    id: str
    context: ConversationContext


@dataclass(frozen=True, slots=True)
class InputItems:
    """A request's own items, and the exact turns that the store knows of them."""

    items: tuple[Item, ...]
    turns: tuple[kept.StoredTurn, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class PromptOrigin:
    """Where a request goes on from, at most one of the two."""

    previous_response_id: str | None = None
    conversation_id: str | None = None


async def load_context(
    store: Store, origin: PromptOrigin, date: datetime.date, local: LocalResponse | None = None
) -> ConversationContext:
    """The context of ``origin``; a new conversation's date is ``date``.

    Raises NotFound for what has gone, InvalidRequest for a response without an answer.
    """
    if origin.conversation_id is not None:
        conversation = await store.conversation(origin.conversation_id)
        history = await store.history(origin.conversation_id)
        return ConversationContext(conversation.date or date, _read(history.items), history.turns)
    if origin.previous_response_id is None:
        return ConversationContext(date)
    if local is not None and local.id == origin.previous_response_id:
        return local.context
    return _of_chain(await store.chain(origin.previous_response_id))


def _of_chain(links: Sequence[kept.ChainLink]) -> ConversationContext:
    last = links[-1]
    if not last.status.answered:
        raise invalid(
            "previous_response_id",
            f"the response '{last.response_id}' has no answer to go on from, "
            f"its status is '{last.status.value}'",
        )
    items = [item for link in links for item in (*link.input_items, *link.output_items)]
    turns = [turn for link in links for turn in link.turns]
    return ConversationContext(links[0].date, _read(items), tuple(turns))


async def load_input(
    context: TurnContext,
    values: Sequence[object],
    earlier: ConversationContext,
    *,
    name: str = "input",
) -> InputItems:
    """Validate a request's items, look up what they point at, and read their files.

    ``name`` is the field's. Raises InvalidRequest or NotFound that names the item.
    """
    store = context.storage.store
    await read_files(context, find_files(values, name))
    wanted = referenced_ids(values)
    found: dict[str, ListedItem] = {
        item.id: item.to_json() for item in earlier.items if item.id in wanted
    }
    history = await _find(store, [item_id for item_id in wanted if item_id not in found])
    found |= {value["id"]: value for value in read_jsons(history.items)}
    items = parse_items(values, make_id=new_id, find=found.get, field=name)
    by_call = await turns_of_calls(store, issued_call_ids(items))
    return InputItems(items, (*history.turns, *by_call))


async def _find(store: Store, item_ids: Sequence[str]) -> kept.History:
    """Those of the items that are there."""
    if not item_ids:
        return kept.History((), ())
    try:
        return await store.find_items(item_ids)
    except NotFound:
        if len(item_ids) == 1:
            return kept.History((), ())
    parts = [await _find(store, [item_id]) for item_id in item_ids]
    return kept.History(tuple(item for part in parts for item in part.items), ())


def _read(items: Sequence[kept.StoredItem]) -> tuple[Item, ...]:
    return read_items(read_jsons(items))
