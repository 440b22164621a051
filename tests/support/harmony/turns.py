"""Turns for the parser's tests: written with token names, read back as messages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mlxoss.harmony import encoding as names
from mlxoss.harmony.encoding import Encoding
from mlxoss.harmony.events import (
    ContentDelta,
    Event,
    MessageEnd,
    MessageStart,
    TurnEnd,
    TurnEndReason,
)
from mlxoss.harmony.parser import TurnParser

SPECIAL_IDS = {
    "<|start|>": names.START,
    "<|end|>": names.END,
    "<|message|>": names.MESSAGE,
    "<|channel|>": names.CHANNEL,
    "<|constrain|>": names.CONSTRAIN,
    "<|return|>": names.RETURN,
    "<|call|>": names.CALL,
    "<|endoftext|>": 199_999,
    "<|reserved_200013|>": 200_013,
}
FUNCTIONS = ("f", "get", "get_weather")

_SPECIAL = re.compile("(" + "|".join(map(re.escape, SPECIAL_IDS)) + ")")


def encode_turn(encoding: Encoding, turn: str) -> list[int]:
    """Ids of a turn as the model would write it: names of special tokens become these."""
    ids: list[int] = []
    for piece in _SPECIAL.split(turn):
        special = SPECIAL_IDS.get(piece)
        ids += encoding.encode_text(piece) if special is None else [special]
    return ids


@dataclass(frozen=True)
class Message:
    start: MessageStart
    text: str
    token_ids: tuple[int | None, ...]

    @property
    def is_visible(self) -> bool:
        return not (self.start.is_call or self.start.is_reasoning)


@dataclass(frozen=True)
class Turn:
    messages: tuple[Message, ...]
    reason: TurnEndReason

    @property
    def visible_text(self) -> str:
        return "".join(message.text for message in self.messages if message.is_visible)

    @property
    def calls(self) -> list[tuple[str, str]]:
        return [
            (name, message.text)
            for message in self.messages
            if (name := message.start.recipient or message.start.builtin) is not None
        ]


def to_turn(events: Sequence[Event]) -> Turn:
    """Fold events into messages, asserting that they are well formed."""
    messages: list[Message] = []
    start: MessageStart | None = None
    deltas: list[ContentDelta] = []
    for event in events[:-1]:
        match event:
            case MessageStart():
                assert start is None, "a message starts inside another"
                start, deltas = event, []
            case ContentDelta():
                assert start is not None, "a delta outside any message"
                assert event.text or event.token_id is not None, "a delta of nothing"
                deltas.append(event)
            case MessageEnd():
                assert start is not None, "an end without a start"
                text = "".join(delta.text for delta in deltas)
                messages.append(Message(start, text, tuple(delta.token_id for delta in deltas)))
                start = None
            case TurnEnd():
                raise AssertionError("an event after the turn's end")
    assert start is None, "a message is never closed"
    assert events, "no event at all"
    last = events[-1]
    assert isinstance(last, TurnEnd), "the turn does not end"
    return Turn(tuple(messages), last.reason)


def parse(
    encoding: Encoding,
    ids: Iterable[int],
    reason: TurnEndReason = TurnEndReason.LENGTH,
    functions: Sequence[str] = FUNCTIONS,
    builtins: Sequence[str] = (),
) -> tuple[Turn, TurnParser]:
    """Feed a fresh parser, then finish with ``reason`` if the ids did not."""
    parser = TurnParser(encoding, functions, builtins)
    events = [event for token_id in ids for event in parser.feed(token_id)]
    events += parser.finish(reason)
    assert parser.finish(reason) == []
    assert parser.feed(names.START) == []
    return to_turn(events), parser
