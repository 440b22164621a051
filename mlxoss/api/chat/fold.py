"""The unstreamed answer: a fold over the very chunks a stream would have sent."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

_TEXTS = MappingProxyType({"function": "arguments", "custom": "input"})


@dataclass(slots=True)
class _Call:
    id: str
    name: str
    kind: str = "function"
    text: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        called = {"name": self.name, _TEXTS[self.kind]: "".join(self.text)}
        return {"id": self.id, "type": self.kind, self.kind: called}


@dataclass(slots=True)
class _Choice:
    content: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    calls: list[_Call] = field(default_factory=list)
    logprobs: list[dict[str, Any]] = field(default_factory=list)
    finish_reason: str | None = None

    def add(self, choice: dict[str, Any]) -> None:
        delta = choice["delta"]
        self.content.append(delta.get("content", ""))
        self.reasoning.append(delta.get("reasoning", ""))
        for call in delta.get("tool_calls", ()):
            self._add_call(call)
        if choice["logprobs"] is not None:
            self.logprobs.extend(choice["logprobs"]["content"])
        self.finish_reason = choice["finish_reason"] or self.finish_reason

    def _add_call(self, call: dict[str, Any]) -> None:
        if "id" in call:
            self.calls.append(_Call(call["id"], call[call["type"]]["name"], call["type"]))
        called = self.calls[call["index"]]
        called.text.append(call[called.kind][_TEXTS[called.kind]])

    def to_message(self) -> dict[str, Any]:
        # As OpenAI does: a turn of calls alone has no content, any other has a string.
        content = "".join(self.content)
        reasoning = "".join(self.reasoning) or None
        message: dict[str, Any] = {
            "role": "assistant",
            "content": content or (None if self.calls else ""),
            "refusal": None,
            "reasoning": reasoning,
            "reasoning_content": reasoning,
        }
        if self.calls:
            message["tool_calls"] = [call.to_json() for call in self.calls]
        return message


class ChatFold:
    """Collects a completion's chunks. With ``logprobs`` every choice gets a list of them."""

    def __init__(self, *, logprobs: bool) -> None:
        self._logprobs = logprobs
        self._choices: dict[int, _Choice] = {}
        self._last: dict[str, Any] = {}

    def add(self, chunk: dict[str, Any]) -> None:
        """Take in one chunk of ChatStream."""
        self._last = chunk
        for choice in chunk["choices"]:
            self._choices.setdefault(choice["index"], _Choice()).add(choice)

    def answer(self) -> dict[str, Any]:
        """The ``chat.completion`` object; the last chunk had the usage."""
        last = self._last
        return {
            "id": last["id"],
            "object": "chat.completion",
            "created": last["created"],
            "model": last["model"],
            "choices": [self._to_choice(index) for index in sorted(self._choices)],
            "usage": last["usage"],
        }

    def _to_choice(self, index: int) -> dict[str, Any]:
        choice = self._choices[index]
        logprobs = {"content": choice.logprobs, "refusal": None} if self._logprobs else None
        return {
            "index": index,
            "message": choice.to_message(),
            "logprobs": logprobs,
            "finish_reason": choice.finish_reason,
        }
