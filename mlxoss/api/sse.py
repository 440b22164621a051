"""Server-sent events (WHATWG HTML, "Server-sent events") and the JSON inside them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic_core import PydanticSerializationError, to_json

from mlxoss.core import JsonMapping

MEDIA = "text/event-stream; charset=utf-8"
"""What they are sent as."""

DONE = b"data: [DONE]\n\n"
"""What ends every stream of OpenAI's chat endpoint."""

COMMENT = b": still working\n\n"
"""A line that clients skip; it keeps a silent connection from timing out."""


def encode_json(value: object) -> bytes:
    """Strict JSON in UTF-8, always.

    NaN and infinities, which JSON lacks, become ``null``; a lone surrogate,
    which UTF-8 lacks, becomes U+FFFD.
    """
    try:
        return to_json(value, inf_nan_mode="null")
    except PydanticSerializationError:
        return to_json(_replace_surrogates(value), inf_nan_mode="null")


def encode_event(data: object, *, event: str | None = None) -> bytes:
    """One event: ``data`` as JSON (which never holds a raw newline), optionally named."""
    name = b"" if event is None else b"event: %b\n" % event.encode()
    return b"%bdata: %b\n\n" % (name, encode_json(data))


def encode_named(events: Iterable[JsonMapping]) -> bytes:
    """Events one after the other, each by the name that is its ``type``."""
    return b"".join(encode_event(event, event=event["type"]) for event in events)


def _replace_surrogates(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case dict():
            return {_replace_surrogates(k): _replace_surrogates(v) for k, v in value.items()}
        case list() | tuple():
            return [_replace_surrogates(item) for item in value]
        case _:
            return value
