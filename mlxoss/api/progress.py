"""``return_progress``: a stream that tells how far its prompt is. Source: llama.cpp's server."""

from __future__ import annotations

from mlxoss.api.errors import invalid

FIELD = "return_progress"


def check_progress(*, is_wanted: bool | None, is_stream: bool | None) -> None:
    """Raise InvalidRequest where nobody could be told."""
    if is_wanted and not is_stream:
        raise invalid(FIELD, "only a stream can tell of it: set 'stream' to true")
