"""The unstreamed message: a fold over the very events a stream would have sent."""

from __future__ import annotations

from typing import Any

from pydantic_core import from_json


class MessageFold:
    """Collects the events of MessagesStream."""

    def __init__(self) -> None:
        self._message: dict[str, Any] = {}
        self._blocks: list[dict[str, Any]] = []
        self._deltas: list[list[dict[str, Any]]] = []

    def add(self, event: dict[str, Any]) -> None:
        """Take in one event."""
        match event:
            case {"type": "message_start", "message": begun}:
                self._message = begun
            case {"type": "content_block_start", "content_block": block}:
                self._blocks.append(block)
                self._deltas.append([])
            case {"type": "content_block_delta", "index": index, "delta": delta}:
                self._deltas[index].append(delta)
            case {"type": "message_delta", "delta": delta, "usage": usage}:
                self._message = {**self._message, **delta, "usage": usage}

    def answer(self) -> dict[str, Any]:
        """The message."""
        content = [_fill(*filled) for filled in zip(self._blocks, self._deltas, strict=True)]
        return {**self._message, "content": content}


def _fill(block: dict[str, Any], deltas: list[dict[str, Any]]) -> dict[str, Any]:
    """``block`` with what its ``deltas`` add."""
    if block["type"] == "tool_use":
        return block | {"input": to_input("".join(delta["partial_json"] for delta in deltas))}
    texts: dict[str, list[str]] = {name: [] for name in ("text", "thinking", "signature")}
    for delta in deltas:
        for name in texts.keys() & delta.keys():
            texts[name].append(delta[name])
    return block | {name: "".join(texts[name]) for name in texts.keys() & block.keys()}


def to_input(arguments: str) -> dict[str, Any]:
    """A call's arguments as the object that ``input`` has to be.

    Of arguments that a limit cut it is the beginning; without the guard a model may write what
    is no object at all, then it is empty.
    """
    try:
        value = from_json(arguments, allow_partial=True, allow_inf_nan=False)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
