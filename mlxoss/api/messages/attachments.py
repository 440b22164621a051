"""What Anthropic's messages attach: files to be read, notes for what earlier ones and tools'
results attach, and for what other servers did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mlxoss.api.errors import unsupported
from mlxoss.api.history.attachments import newest_required, put_notes, put_texts
from mlxoss.api.history.files import Attached, is_file
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
    refused = newest_required(messages, _holds_result)
    noted = [
        _with_notes(message, is_refused=position == refused)
        for position, message in enumerate(messages)
    ]
    return {**request, "messages": noted}


def find_files(request: JsonObject) -> Iterator[Attached]:
    """The documents that users and tools sent, in a request that is not yet validated.

    Raises InvalidRequest where the newest message wants citations, which nothing makes here; what
    was wanted earlier is over.
    """
    messages = request.get("messages")
    if not isinstance(messages, list):
        return
    refused = newest_required(messages, _holds_result)
    for position, message in enumerate(messages):
        if isinstance(message, dict) and message.get("role") == "user":
            content, where = message.get("content"), f"messages[{position}].content"
            yield from _files(content, where, is_required=position == refused)


def _files(content: object, where: str, *, is_required: bool) -> Iterator[Attached]:
    for i, block in enumerate(content if isinstance(content, list) else ()):
        place = f"{where}[{i}]"
        if is_required and _wants_citations(block):
            raise unsupported(f"{place}.citations", "this model marks no sources in its answers")
        if _is_result(block):
            yield from _files(block.get("content"), f"{place}.content", is_required=False)
        elif is_file(block):
            yield Attached(block, place, is_required, "text")


def _wants_citations(block: object) -> bool:
    wanted = block.get("citations") if isinstance(block, Mapping) else None
    is_source = isinstance(block, Mapping) and block.get("type") in ("document", "search_result")
    return is_source and isinstance(wanted, Mapping) and wanted.get("enabled") is True


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
