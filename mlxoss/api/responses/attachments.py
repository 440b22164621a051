"""Notes for what a response's earlier messages and tools' outputs attach."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mlxoss.api.history.attachments import is_from_user, newest_from_user, put_notes, to_note
from mlxoss.api.responses.records import read_sealed


def note_earlier(values: Sequence[object]) -> list[object]:
    """Items, not yet validated, with notes in the place of attachments, and sealed texts read.

    Those of the user's newest message stay, unless it stands right behind a tool's output:
    clients put there what a tool showed.
    """
    newest = newest_from_user(values)
    noted: list[object] = []
    for position, value in enumerate(values):
        behind_tool = position > 0 and _is_output(values[position - 1])
        is_refused = position == newest and not behind_tool
        readable = _with_plain_text(value)
        noted.append(readable if is_refused else _with_notes(readable))
    return noted


def _with_plain_text(value: object) -> object:
    """An item with text for parts that are only called ``encrypted_content``."""
    if not isinstance(value, Mapping):
        return value
    name = "output" if _is_output(value) else "content"
    parts = value.get(name)
    if not isinstance(parts, list) or not any(map(_is_sealed, parts)):
        return value
    read = [
        {"type": "input_text", "text": read_sealed(part["encrypted_content"])}
        if _is_sealed(part)
        else part
        for part in parts
    ]
    return {**value, name: read}


def _is_sealed(part: object) -> bool:
    return (
        isinstance(part, Mapping)
        and part.get("type") == "encrypted_content"
        and isinstance(part.get("encrypted_content"), str)
    )


def _with_notes(value: object) -> object:
    if not isinstance(value, Mapping):
        return value
    if value.get("type") == "image_generation_call":
        return {**value, "result": None}
    name = "output" if _is_output(value) else "content"
    if name == "output" and (note := to_note(value.get(name))) is not None:
        return {**value, name: {"type": "input_text", "text": note}}
    if not isinstance(value.get(name), list):
        return value
    if name == "output" or is_from_user(value) or value.get("type") == "agent_message":
        return {**value, name: put_notes(value[name], "input_text")}
    if value.get("role") == "assistant":
        return {**value, name: put_notes(value[name], "output_text")}
    return value


def _is_output(value: object) -> bool:
    kind = value.get("type") if isinstance(value, Mapping) else None
    return isinstance(kind, str) and kind.endswith("_output")
