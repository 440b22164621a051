"""The unstreamed message: a fold over the very events a stream would have sent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic_core import from_json


def fold_message(events: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The message that ``events`` of MessagesStream, first to last, make up."""
    message: dict[str, Any] = {}
    deltas: list[list[dict[str, Any]]] = []
    for event in events:
        match event:
            case {"type": "message_start", "message": begun}:
                message = {**begun, "content": []}
            case {"type": "content_block_start", "content_block": block}:
                message["content"].append(block)
                deltas.append([])
            case {"type": "content_block_delta", "index": index, "delta": delta}:
                deltas[index].append(delta)
            case {"type": "message_delta", "delta": delta, "usage": usage}:
                message |= {**delta, "usage": usage}
    content = [_fill(block, ds) for block, ds in zip(message["content"], deltas, strict=True)]
    return message | {"content": content}


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
