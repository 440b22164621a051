"""Notes for what Anthropic's earlier messages and tools' results attach, and for what other
servers did."""

from __future__ import annotations

from mlxoss.api.history.attachments import newest_from_user, put_notes, put_texts
from mlxoss.api.messages.records import put_record
from mlxoss.core import JsonObject


def note_earlier(request: JsonObject) -> JsonObject:
    """The request, not yet validated, with notes in the place of attachments.

    Those of the user's newest message stay, unless a tool's result is in it or right before it:
    clients put there what a tool showed.
    """
    messages = request.get("messages")
    if not isinstance(messages, list):
        return request
    newest = newest_from_user(messages)
    noted: list[object] = []
    for position, message in enumerate(messages):
        here = messages[max(position - 1, 0) : position + 1]
        is_refused = position == newest and not any(map(_holds_result, here))
        noted.append(_with_notes(message, is_refused=is_refused))
    return {**request, "messages": noted}


def _with_notes(message: object, *, is_refused: bool) -> object:
    if not isinstance(message, dict) or not isinstance(message.get("content"), list):
        return message
    if message.get("role") not in ("user", "assistant"):
        return message
    blocks = [
        {**block, "content": put_notes(block.get("content"))} if _is_result(block) else block
        for block in message["content"]
    ]
    if message.get("role") == "assistant":
        blocks = [put_record(block) for block in blocks]
    return {**message, "content": put_texts(blocks) if is_refused else put_notes(blocks)}


def _holds_result(message: object) -> bool:
    content = message.get("content") if isinstance(message, dict) else None
    return isinstance(content, list) and any(map(_is_result, content))


def _is_result(block: object) -> bool:
    return isinstance(block, dict) and block.get("type") == "tool_result"
