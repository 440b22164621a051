"""What a response's items attach: files to be read, notes for what earlier messages and tools'
outputs attach.

A file that was read keeps its part, with what the model reads of it as its ``text``. So it is kept,
and listed as it came (``without_texts``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from mlxoss.api.history.attachments import is_from_user, newest_required, put_notes, to_note
from mlxoss.api.history.files import INPUT_FILE, Attached
from mlxoss.api.responses.item_answers import ListedItem
from mlxoss.api.responses.records import read_sealed


def note_earlier(values: Sequence[object]) -> list[object]:
    """Items, not yet validated, with notes in the place of attachments, and sealed texts read.

    Those of the user's newest message stay, unless it stands right behind a tool's output:
    clients put there what a tool showed.
    """
    refused = newest_required(values, _is_output)
    readable = map(_with_plain_text, values)
    return [
        value if position == refused else _with_notes(value)
        for position, value in enumerate(readable)
    ]


def find_files(values: Sequence[object], field: str) -> Iterator[Attached]:
    """The files that users and tools sent, in items that are not yet validated.

    What a client says to be the text of any is taken away.
    """
    refused = newest_required(values, _is_output)
    for position, value in enumerate(values):
        if not isinstance(value, Mapping):
            continue
        name = _parts_name(value)
        parts = value.get(name)
        is_read = _is_output(value) or is_from_user(value)
        for i, part in enumerate(parts if isinstance(parts, list) else ()):
            if isinstance(part, dict) and part.get("type") == INPUT_FILE:
                part.pop("text", None)
                if is_read:
                    where = f"{field}[{position}].{name}[{i}]"
                    yield Attached(part, where, position == refused, None)


def without_texts(item: ListedItem) -> ListedItem:
    """The item as it is listed: its files without what was read of them."""
    name = _parts_name(item)
    parts = item.get(name)
    if not isinstance(parts, list) or not any(map(_is_read_file, parts)):
        return item
    shown = [
        {key: value for key, value in part.items() if key != "text"}
        if _is_read_file(part)
        else part
        for part in parts
    ]
    return cast("ListedItem", {**item, name: shown})


def _with_plain_text(value: object) -> object:
    """An item with text for parts that are only called ``encrypted_content``."""
    if not isinstance(value, Mapping):
        return value
    name = _parts_name(value)
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
    name = _parts_name(value)
    if name == "output" and (note := to_note(value.get(name))) is not None:
        return {**value, name: {"type": "input_text", "text": note}}
    if not isinstance(value.get(name), list):
        return value
    if name == "output" or is_from_user(value) or value.get("type") == "agent_message":
        return {**value, name: _noted(value[name])}
    if value.get("role") == "assistant":
        return {**value, name: put_notes(value[name], "output_text")}
    return value


def _noted(parts: Sequence[object]) -> list[object]:
    noted: list[object] = []
    for part in parts:
        noted += (
            [part] if _is_read_file(part) else cast("list[object]", put_notes([part], "input_text"))
        )
    return noted


def _is_read_file(part: object) -> bool:
    return (
        isinstance(part, Mapping)
        and part.get("type") == INPUT_FILE
        and isinstance(part.get("text"), str)
    )


def _parts_name(value: Mapping[str, object]) -> str:
    return "output" if _is_output(value) else "content"


def _is_output(value: object) -> bool:
    kind = value.get("type") if isinstance(value, Mapping) else None
    return isinstance(kind, str) and kind.endswith("_output")
