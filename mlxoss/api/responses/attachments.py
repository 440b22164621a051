"""Notes for what a response's earlier messages and tools' outputs attach."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mlxoss.api.attachments import is_from_user, newest_from_user, put_notes


def note_earlier(values: Sequence[object]) -> list[object]:
    """Items, not yet validated, with notes in the place of attachments.

    Those of the user's newest message stay, unless it stands right behind a tool's output:
    clients put there what a tool showed.
    """
    newest = newest_from_user(values)
    noted: list[object] = []
    for position, value in enumerate(values):
        behind_tool = position > 0 and _is_output(values[position - 1])
        is_refused = position == newest and not behind_tool
        noted.append(value if is_refused else _with_notes(value))
    return noted


def _with_notes(value: object) -> object:
    if not isinstance(value, Mapping):
        return value
    name = "output" if _is_output(value) else "content"
    if not isinstance(value.get(name), list):
        return value
    if name == "output" or is_from_user(value):
        return {**value, name: put_notes(value[name], "input_text")}
    if value.get("role") == "assistant":
        return {**value, name: put_notes(value[name], "output_text")}
    return value


def _is_output(value: object) -> bool:
    kind = value.get("type") if isinstance(value, Mapping) else None
    return isinstance(kind, str) and kind.endswith("_output")
