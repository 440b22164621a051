"""What a chat's messages attach: files to be read, notes for what earlier ones and tools attach."""

from __future__ import annotations

from collections.abc import Iterator

from mlxoss.api.history.attachments import newest_required, put_notes
from mlxoss.api.history.files import Attached, is_file
from mlxoss.core import JsonObject

_TOOLS = ("tool", "function")
"""The roles of tools' answers."""


def note_earlier(request: JsonObject) -> JsonObject:
    """The request, not yet validated, with notes in the place of attachments.

    Those of the user's newest message stay, unless it stands right behind a tool's answer:
    clients put there what a tool showed.
    """
    messages = request.get("messages")
    if not isinstance(messages, list):
        return request
    refused = newest_required(messages, _is_answer)
    noted = [
        message if position == refused else _with_notes(message)
        for position, message in enumerate(messages)
    ]
    return {**request, "messages": noted}


def find_files(request: JsonObject) -> Iterator[Attached]:
    """The files that users and tools sent, in a request that is not yet validated."""
    messages = request.get("messages")
    if not isinstance(messages, list):
        return
    refused = newest_required(messages, _is_answer)
    for position, message in enumerate(messages):
        content = message.get("content") if isinstance(message, dict) else None
        if not isinstance(content, list) or _role(message) not in ("user", *_TOOLS):
            continue
        for i, part in enumerate(content):
            if is_file(part):
                where = f"messages[{position}].content[{i}]"
                yield Attached(part, where, position == refused, "text")


def _is_answer(message: object) -> bool:
    """Whether a tool answered it."""
    return _role(message) in _TOOLS


def _with_notes(message: object) -> object:
    if not isinstance(message, dict) or not isinstance(message.get("content"), list):
        return message
    if _role(message) not in ("user", "assistant", *_TOOLS):
        return message
    return {**message, "content": put_notes(message["content"])}


def _role(message: object) -> object:
    return message.get("role") if isinstance(message, dict) else None
