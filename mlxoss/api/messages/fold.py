"""The unstreamed message: a fold over the very events a stream would have sent."""

from __future__ import annotations

from pydantic_core import from_json

from mlxoss.api.answers import MessagesError
from mlxoss.api.messages.answers import BlockDelta, MessagesBlock, MessagesEvent, MessagesMessage
from mlxoss.core import JsonObject


class MessageFold:
    """Collects the events of MessagesStream."""

    def __init__(self) -> None:
        self._message: MessagesMessage | None = None
        self._blocks: list[MessagesBlock] = []
        self._deltas: list[list[BlockDelta]] = []

    def add(self, event: MessagesEvent | MessagesError) -> None:
        """Take in one event."""
        if event["type"] == "message_start":
            self._message = event["message"]
        elif event["type"] == "content_block_start":
            self._blocks.append(event["content_block"])
            self._deltas.append([])
        elif event["type"] == "content_block_delta":
            self._deltas[event["index"]].append(event["delta"])
        elif event["type"] == "message_delta":
            assert self._message is not None
            self._message = {**self._message, **event["delta"], "usage": event["usage"]}

    def answer(self) -> MessagesMessage:
        """The message."""
        assert self._message is not None
        content = [_fill(*filled) for filled in zip(self._blocks, self._deltas, strict=True)]
        return {**self._message, "content": content}


def _fill(block: MessagesBlock, deltas: list[BlockDelta]) -> MessagesBlock:
    """``block`` with what its ``deltas`` add."""
    texts: dict[str, list[str]] = {}
    for delta in deltas:
        texts.setdefault(delta["type"], []).append(_text(delta))
    whole = {kind: "".join(parts) for kind, parts in texts.items()}
    if block["type"] == "tool_use":
        return {**block, "input": to_input(whole.get("input_json_delta", ""))}
    if block["type"] == "text":
        return {**block, "text": whole.get("text_delta", "")}
    return {
        **block,
        "thinking": whole.get("thinking_delta", ""),
        "signature": whole.get("signature_delta", ""),
    }


def _text(delta: BlockDelta) -> str:
    if delta["type"] == "text_delta":
        return delta["text"]
    if delta["type"] == "thinking_delta":
        return delta["thinking"]
    if delta["type"] == "signature_delta":
        return delta["signature"]
    return delta["partial_json"]


def to_input(arguments: str) -> JsonObject:
    """A call's arguments as the object that ``input`` has to be.

    Of arguments that a limit cut it is the beginning; without the guard a model may write what
    is no object at all, then it is empty.
    """
    try:
        value = from_json(arguments, allow_partial=True, allow_inf_nan=False)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
