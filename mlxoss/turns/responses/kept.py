"""Responses on their way into the store and out of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from mlxoss.api.errors import HttpError
from mlxoss.api.responses.answers import ResponseEvent, ResponseObject
from mlxoss.api.responses.attachments import without_texts
from mlxoss.api.responses.item_answers import ListedItem
from mlxoss.api.responses.items import Item
from mlxoss.api.responses.object import to_failed, to_failed_event
from mlxoss.api.sse import encode_json
from mlxoss.store import values as kept

_INTERRUPTED = HttpError(
    500, "The server stopped while this response was in progress.", type="server_error"
)


def to_text(value: object) -> str:
    """JSON text for the store."""
    return encode_json(value).decode()


def to_kept_items(items: Iterable[Item]) -> tuple[kept.StoredItem, ...]:
    """Items as they are kept."""
    return tuple(kept.StoredItem(item.id, to_text(item.to_json())) for item in items)


def to_kept_output(output: Iterable[ListedItem]) -> tuple[kept.StoredItem, ...]:
    """Output items as they are kept."""
    return tuple(kept.StoredItem(item["id"], to_text(item)) for item in output)


def to_kept_events(events: Iterable[ResponseEvent]) -> tuple[kept.Event, ...]:
    """Stream events as they are kept."""
    return tuple(kept.Event(event["sequence_number"], to_text(event)) for event in events)


def read_jsons(items: Sequence[kept.StoredItem]) -> list[ListedItem]:
    """Kept items as JSON, with what was read of their files."""
    return [json.loads(item.json) for item in items]


def read_listed(items: Sequence[kept.StoredItem]) -> list[ListedItem]:
    """Kept items as clients see them."""
    return [without_texts(item) for item in read_jsons(items)]


def read_jsons_of_events(events: Sequence[kept.Event]) -> list[ResponseEvent]:
    """Kept events as JSON."""
    return [json.loads(event.json) for event in events]


def to_object(response: kept.StoredResponse) -> ResponseObject:
    """The public object of a kept response."""
    found: ResponseObject = json.loads(response.object_json)
    return {**found, "output": read_jsons(response.output_items)}


def to_object_text(response: ResponseObject) -> str:
    """The object as it is kept: its output stands beside it."""
    return to_text({**response, "output": []})


def to_failure(response: kept.StoredResponse, sequence: int) -> kept.Failure:
    """What becomes of a response whose process died; ``sequence`` is its next event's number."""
    failed = to_failed(to_object(response), _INTERRUPTED)
    event = to_failed_event(failed, sequence)
    return kept.Failure(to_object_text(failed), kept.Event(sequence, to_text(event)))
