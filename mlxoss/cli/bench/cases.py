"""What ``mlxoss bench`` asks. The same words in every run, behind a mark that is new each time.

The mark comes first in a conversation, so that nothing a server kept of earlier ones helps.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mlxoss.cli.bench.timing import Timing, time_chat, time_chats
from mlxoss.cli.client.http import Server
from mlxoss.core import JsonObject

Messages = list[JsonObject]

STREAMS = (1, 4, 8)
SHORT_TOKENS = 32
"""For an answer whose first token matters: enough to get past a turn's headers."""

READING_S = 1.0
"""Between an answer and what is said to it: servers may get ready for that meanwhile."""

END_IDS = (200002, 200007, 200012)
"""``<|return|>``, ``<|end|>`` and ``<|call|>``: banned where the server is mlxoss, so that an
answer has the length that was asked for."""

_PROMPT_TO_ANSWER = 8
_TOKENS_PER_WORD = 1.3
_REPORT = (
    "The ferry left the northern pier at a quarter past six with forty passengers on board.",
    "Two engineers replaced the starboard pump while the captain waited for the tide to turn.",
    "According to the log, fuel consumption rose by eleven percent against the previous month.",
    "The harbour office asks that every delay of more than ten minutes be reported by radio.",
    "A storm warning was issued at noon and withdrawn again at four in the afternoon.",
    "Repairs to the quay wall cost less than planned because the old stones could be used again.",
    "Visitors complained about the missing timetable at the bus stop beside the market hall.",
    "The night watch counted nineteen fishing boats, three yachts and one very old tugboat.",
)
_COUNT = "Count upwards from 1 in words, one number to a line, and do not stop before 500."
_TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
_CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "get_weather", "arguments": '{"city":"Paris"}'},
}


@dataclass(frozen=True, slots=True)
class Target:
    """Whom to ask for what: answers of ``tokens``, prompts of about ``prompt_tokens``."""

    server: Server
    model: str
    is_mlxoss: bool
    tokens: int

    @property
    def prompt_tokens(self) -> int:
        """About so many has a long prompt."""
        return _PROMPT_TO_ANSWER * self.tokens

    def body(self, messages: Messages, tokens: int = SHORT_TOKENS, **fields: Any) -> JsonObject:
        """A request."""
        return {"model": self.model, "messages": messages, "max_tokens": tokens} | fields

    def report(self) -> str:
        """A marked text of about ``prompt_tokens``."""
        lines, words = [f"Report {secrets.token_hex(8)}."], 0
        while words * _TOKENS_PER_WORD < self.prompt_tokens:
            line = f"{len(lines)}. {_REPORT[len(lines) % len(_REPORT)]}"
            lines.append(line)
            words += len(line.split())
        return "\n".join(lines)


def decode(target: Target, streams: int) -> list[Timing]:
    """``streams`` long answers at a time."""
    bans = {str(token): -100 for token in END_IDS}
    fields = {"logit_bias": bans} if target.is_mlxoss else {}
    return time_chats(
        target.server,
        [
            target.body([_user(f"{secrets.token_hex(8)}. {_COUNT}")], target.tokens, **fields)
            for _ in range(streams)
        ],
    )


def cold(target: Target) -> Timing:
    """A long prompt that nobody has seen."""
    return time_chat(target.server, target.body(_first(target)))


def second_turn(target: Target, between: Callable[[], Target] | None = None) -> Timing:
    """A short message after the answer to a long one.

    ``between`` happens in the meantime, and says whom to ask from there on.
    """
    messages = _first(target)
    answered = time_chat(target.server, target.body(messages))
    time.sleep(READING_S)
    if between is not None:
        target = between()
    messages = [*messages, answered.message, _user("And who was on board at a quarter past six?")]
    return time_chat(target.server, target.body(messages))


def branch(target: Target) -> Timing:
    """The last message of a long conversation, edited."""
    told = {"role": "assistant", "content": "I have read the report."}
    history = [*_first(target), told]
    time_chat(target.server, target.body([*history, _user("How many boats were counted?")]))
    return time_chat(target.server, target.body([*history, _user("How many yachts were there?")]))


def tool_loop(target: Target) -> Timing:
    """The result of a call, after a long prompt.

    The model's own call if it makes one, else one that is put into its mouth.
    """
    text = f"{target.report()}\nNow something else: what's the weather like in Paris?"
    messages = [_user(text)]
    answered = time_chat(
        target.server, target.body(messages, max(128, target.tokens), tools=[_TOOL])
    )
    message = answered.message
    if "tool_calls" not in message:
        message = {"role": "assistant", "content": None, "tool_calls": [_CALL]}
    result = json.dumps({"temperature": 17, "sky": "cloudy"})
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": result}
        for call in message["tool_calls"]
    ]
    body = target.body([*messages, message, *results], tools=[_TOOL])
    return time_chat(target.server, body)


def _first(target: Target) -> Messages:
    return [_user(f"{target.report()}\nWhich of these points is the most urgent, and why?")]


def _user(text: str) -> JsonObject:
    return {"role": "user", "content": text}
