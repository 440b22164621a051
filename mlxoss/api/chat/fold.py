"""The unstreamed answer: a fold over the very chunks a stream would have sent."""

from __future__ import annotations

from dataclasses import dataclass, field

from mlxoss.api.answers import Error, LogprobEntry
from mlxoss.api.chat.answers import (
    CallDelta,
    CallType,
    ChatAnnotation,
    ChatChoice,
    ChatCompletion,
    ChatCompletionChunk,
    ChatMessage,
    ChatToolCall,
    ChoiceLogprobs,
    ChunkChoice,
    FinishReason,
)


@dataclass(slots=True)
class _Call:
    id: str
    kind: CallType
    name: str = ""
    text: list[str] = field(default_factory=list)

    def add(self, call: CallDelta) -> None:
        if self.kind == "custom":
            custom = call["custom"]
            self.name = custom.get("name", self.name)
            self.text.append(custom["input"])
        else:
            function = call["function"]
            self.name = function.get("name", self.name)
            self.text.append(function["arguments"])

    def to_json(self) -> ChatToolCall:
        text = "".join(self.text)
        if self.kind == "custom":
            return {"id": self.id, "type": "custom", "custom": {"name": self.name, "input": text}}
        return {
            "id": self.id,
            "type": "function",
            "function": {"name": self.name, "arguments": text},
        }


@dataclass(slots=True)
class _Choice:
    content: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    calls: list[_Call] = field(default_factory=list)
    logprobs: list[LogprobEntry] = field(default_factory=list)
    annotations: list[ChatAnnotation] = field(default_factory=list)
    finish_reason: FinishReason | None = None

    def add(self, choice: ChunkChoice) -> None:
        delta = choice["delta"]
        self.content.append(delta.get("content", ""))
        self.reasoning.append(delta.get("reasoning", ""))
        self.annotations += delta.get("annotations", ())
        for call in delta.get("tool_calls", ()):
            if "id" in call:
                self.calls.append(_Call(call["id"], call["type"]))
            self.calls[call["index"]].add(call)
        if choice["logprobs"] is not None:
            self.logprobs.extend(choice["logprobs"]["content"])
        self.finish_reason = choice["finish_reason"] or self.finish_reason

    def to_message(self) -> ChatMessage:
        # As OpenAI does: a turn of calls alone has no content, any other has a string.
        content = "".join(self.content)
        reasoning = "".join(self.reasoning) or None
        message: ChatMessage = {
            "role": "assistant",
            "content": content or (None if self.calls else ""),
            "refusal": None,
            "reasoning": reasoning,
            "reasoning_content": reasoning,
        }
        if self.annotations:
            message["annotations"] = self.annotations
        if self.calls:
            message["tool_calls"] = [call.to_json() for call in self.calls]
        return message


class ChatFold:
    """Collects a completion's chunks. With ``logprobs`` every choice gets a list of them."""

    def __init__(self, *, logprobs: bool) -> None:
        self._logprobs = logprobs
        self._choices: dict[int, _Choice] = {}
        self._last: ChatCompletionChunk | None = None

    def add(self, chunk: ChatCompletionChunk | Error) -> None:
        """Take in one chunk of ChatStream."""
        if "error" in chunk:
            return
        self._last = chunk
        for choice in chunk["choices"]:
            self._choices.setdefault(choice["index"], _Choice()).add(choice)

    def answer(self) -> ChatCompletion:
        """The ``chat.completion`` object; the last chunk had the usage."""
        last = self._last
        assert last is not None
        usage = last.get("usage")
        assert usage is not None
        return {
            "id": last["id"],
            "object": "chat.completion",
            "created": last["created"],
            "model": last["model"],
            "choices": [self._to_choice(index) for index in sorted(self._choices)],
            "usage": usage,
        }

    def _to_choice(self, index: int) -> ChatChoice:
        choice = self._choices[index]
        logprobs: ChoiceLogprobs | None = None
        if self._logprobs:
            logprobs = {"content": choice.logprobs, "refusal": None}
        assert choice.finish_reason is not None
        return {
            "index": index,
            "message": choice.to_message(),
            "logprobs": logprobs,
            "finish_reason": choice.finish_reason,
        }
