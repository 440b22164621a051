"""Notes for what a chat's earlier messages and tools attach."""

from __future__ import annotations

from mlxoss.api.history.attachments import newest_from_user, put_notes
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
    newest = newest_from_user(messages)
    noted: list[object] = []
    for position, message in enumerate(messages):
        behind_tool = position > 0 and _role(messages[position - 1]) in _TOOLS
        is_refused = position == newest and not behind_tool
        noted.append(message if is_refused else _with_notes(message))
    return {**request, "messages": noted}


def _with_notes(message: object) -> object:
    if not isinstance(message, dict) or not isinstance(message.get("content"), list):
        return message
    if _role(message) not in ("user", "assistant", *_TOOLS):
        return message
    return {**message, "content": put_notes(message["content"])}


def _role(message: object) -> object:
    return message.get("role") if isinstance(message, dict) else None
