"""One streamed chat completion, timed; and several at a time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from mlxoss.cli.client.http import Server
from mlxoss.core import JsonObject
from mlxoss.errors import MlxossError

_CHAT = "/v1/chat/completions"
_ONE_EACH = 0.9


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds from the request to the first and to the last piece of text or of a call.

    ``message`` is what a client sends back in the next turn. The counts are the server's own, 0
    where it tells none.
    """

    first_s: float
    last_s: float
    pieces: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    message: JsonObject

    @property
    def prefill_per_s(self) -> float:
        """Tokens of the prompt that were computed, per second until the first piece."""
        return (self.prompt_tokens - self.cached_tokens) / self.first_s

    @property
    def decode_per_s(self) -> float:
        """Tokens per second from the first piece to the last; 0.0 for a single piece.

        Where nearly each token is a piece, pieces are counted: tokens that are never shown (a
        turn's headers) came before the first one.
        """
        is_one_each = self.pieces >= _ONE_EACH * self.completion_tokens
        count = self.pieces if is_one_each else self.completion_tokens
        return (count - 1) / (self.last_s - self.first_s) if self.last_s > self.first_s else 0.0


def time_chat(server: Server, body: JsonObject) -> Timing:
    """Stream one answer. Raises as ``Server`` does, and ``MlxossError`` when nothing is shown."""
    asked = body | {"stream": True, "stream_options": {"include_usage": True}, "temperature": 0}
    answer = _Answer()
    began = time.perf_counter()
    times: list[float] = []
    for chunk in server.stream(_CHAT, asked):
        if answer.take(chunk):
            times.append(time.perf_counter() - began)
    if not times:
        raise MlxossError("The server showed no text; try: mlxoss bench --tokens 512")
    usage = answer.usage
    details = usage.get("prompt_tokens_details") or {}
    return Timing(
        times[0],
        times[-1],
        len(times),
        usage.get("prompt_tokens") or 0,
        details.get("cached_tokens") or 0,
        usage.get("completion_tokens") or 0,
        answer.message(),
    )


def time_chats(server: Server, bodies: Sequence[JsonObject]) -> list[Timing]:
    """Stream all of them at the same time."""
    with ThreadPoolExecutor(len(bodies)) as pool:
        return list(pool.map(lambda body: time_chat(server, body), bodies))


class _Answer:
    """A message put together from its chunks."""

    def __init__(self) -> None:
        self.usage: JsonObject = {}
        self._text = {"content": "", "reasoning_content": ""}
        self._calls: dict[int, JsonObject] = {}

    def take(self, chunk: JsonObject) -> bool:
        """Whether there was anything to show in it."""
        self.usage = chunk.get("usage") or self.usage
        shown = False
        for choice in chunk.get("choices") or []:
            delta = choice.get("delta") or {}
            reasoning = delta.get("reasoning_content") or delta.get("reasoning")
            for name, text in (
                ("content", delta.get("content")),
                ("reasoning_content", reasoning),
            ):
                self._text[name] += text or ""
                shown = shown or bool(text)
            for call in delta.get("tool_calls") or []:
                self._take_call(call)
                shown = True
        return shown

    def _take_call(self, piece: JsonObject) -> None:
        new = {"id": "", "type": "function", "function": {"name": "", "arguments": ""}}
        call = self._calls.setdefault(piece.get("index", 0), new)
        call["id"] = piece.get("id") or call["id"]
        for name, text in (piece.get("function") or {}).items():
            call["function"][name] += text or ""

    def message(self) -> JsonObject:
        message: JsonObject = {"role": "assistant", "content": self._text["content"]}
        if self._calls:
            message["tool_calls"] = list(self._calls.values())
            # Reasoning belongs to a tool loop; after an answer nobody sends it back.
            if self._text["reasoning_content"]:
                message["reasoning_content"] = self._text["reasoning_content"]
        return message
