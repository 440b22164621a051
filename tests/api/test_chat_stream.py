"""Scripted events to chunks, compared with goldens; the whole answer is their fold.

``python -m tests.api.test_chat_stream`` writes the goldens anew.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from mlxoss.api.chat.fold import ChatFold
from mlxoss.api.chat.stream import ChatOptions, ChatStream
from mlxoss.api.common import CompletionHeader
from mlxoss.api.turn_request import TurnOutput, Usage
from mlxoss.core import TokenLogprob
from mlxoss.harmony.events import (
    Channel,
    ContentDelta,
    Event,
    MessageEnd,
    MessageStart,
    TurnEnd,
    TurnEndReason,
)

GOLDEN = Path(__file__).parent.parent / "golden" / "chat"
USAGE = Usage(prompt_tokens=10, completion_tokens=7, reasoning_tokens=3, cached_tokens=2)

Step = tuple[int, Event, TokenLogprob | None]


def message(channel: Channel, *texts: str, to: str | None = None) -> list[Event]:
    deltas = [ContentDelta(text, token_id=100 + i) for i, text in enumerate(texts)]
    return [MessageStart(channel, to), *deltas, MessageEnd()]


def one(*events: Event | list[Event], end: TurnEndReason = TurnEndReason.RETURN) -> list[Step]:
    flat = [e for event in events for e in (event if isinstance(event, list) else [event])]
    return [(0, event, None) for event in [*flat, TurnEnd(end)]]


def with_logprobs(steps: list[Step]) -> list[Step]:
    logprob = TokenLogprob(-0.25, ((100, -0.25), (101, float("-inf"))))
    return [(i, e, logprob if isinstance(e, ContentDelta) else None) for i, e, _ in steps]


ANALYSIS = message(Channel.ANALYSIS, "I ", "think.")
FINAL = message(Channel.FINAL, "Hello", "", "!")

CASES: dict[str, tuple[list[Step], dict[str, Any]]] = {
    "final": (one(FINAL), {}),
    "analysis_and_final": (one(ANALYSIS, FINAL), {}),
    "hidden_reasoning": (one(ANALYSIS, FINAL), {"hide_reasoning": True}),
    "usage": (one(FINAL), {"include_usage": True}),
    "preamble_and_call": (
        one(
            ANALYSIS,
            message(Channel.COMMENTARY, "Let me ", "look."),
            message(Channel.COMMENTARY, "{", '"a":1', "}", to="f"),
            end=TurnEndReason.CALL,
        ),
        {},
    ),
    "two_calls": (
        one(
            message(Channel.COMMENTARY, "{}", to="f"),
            message(Channel.ANALYSIS, "not", " json", to="g"),
        ),
        {},
    ),
    "preamble_and_final": (one(message(Channel.COMMENTARY, "First."), FINAL), {}),
    "two_analyses": (one(ANALYSIS, ANALYSIS, FINAL), {}),
    "empty_preamble": (one(message(Channel.COMMENTARY), FINAL), {}),
    "cut_in_reasoning": (one(ANALYSIS, end=TurnEndReason.LENGTH), {}),
    "cut_in_call": (
        one(message(Channel.COMMENTARY, '{"a', to="f"), end=TurnEndReason.LENGTH),
        {},
    ),
    "call_token_without_call": (one(FINAL, end=TurnEndReason.CALL), {}),
    "stop_string": (one(FINAL, end=TurnEndReason.STOP), {}),
    "nothing": (one(), {}),
    "logprobs": (with_logprobs(one(ANALYSIS, FINAL)), {}),
    "two_choices": (
        [
            (0, MessageStart(Channel.FINAL), None),
            (1, MessageStart(Channel.ANALYSIS), None),
            (0, ContentDelta("a", 1), None),
            (1, ContentDelta("b", 2), None),
            (1, MessageEnd(), None),
            (1, TurnEnd(TurnEndReason.LENGTH), None),
            (0, MessageEnd(), None),
            (0, TurnEnd(TurnEndReason.RETURN), None),
        ],
        {},
    ),
}


def chunks_of(steps: Sequence[Step], options: dict[str, Any]) -> list[Any]:
    numbers = itertools.count(1)
    stream = ChatStream(
        CompletionHeader("chatcmpl-1", 1_700_000_000, "model"),
        ChatOptions(**options),
        token_bytes=lambda token_id: b"<%d>" % token_id,
        make_call_id=lambda index: f"call_{next(numbers)}",
    )
    chunks = [chunk for step in steps for chunk in stream.feed(TurnOutput(*step))]
    return chunks + stream.finish(USAGE)


def record(case: str) -> dict[str, Any]:
    """What a golden holds: the chunks' changing parts and the whole answer's."""
    steps, options = CASES[case]
    chunks = chunks_of(steps, options)
    fold = ChatFold(logprobs=case == "logprobs")
    for chunk in chunks_of(steps, options | {"include_usage": True}):
        fold.add(chunk)
    whole = fold.answer()
    return {
        "chunks": [chunk["choices"] or chunk for chunk in chunks],
        "whole": whole["choices"],
    }


def golden_path(case: str) -> Path:
    return GOLDEN / f"{case}.json"


def to_text(record: dict[str, Any]) -> str:
    """JSON with a chunk, or a choice of the whole answer, on each line."""
    lists = (
        f'"{name}": [\n'
        + ",\n".join(json.dumps(item, ensure_ascii=False) for item in items)
        + "\n]"
        for name, items in record.items()
    )
    return "{" + ",\n".join(lists) + "}\n"


@pytest.mark.parametrize("case", CASES)
def test_goldens(case: str) -> None:
    assert to_text(record(case)) == golden_path(case).read_text(encoding="utf-8")


def test_there_is_a_case_for_every_golden() -> None:
    assert sorted(path.stem for path in GOLDEN.glob("*.json")) == sorted(CASES)


@pytest.mark.parametrize("case", CASES)
def test_the_clients_own_types_accept_everything(case: str) -> None:
    steps, options = CASES[case]
    chunks = chunks_of(steps, options | {"include_usage": True})
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk, strict=True)
    fold = ChatFold(logprobs=case == "logprobs")
    for chunk in chunks:
        fold.add(chunk)
    whole = ChatCompletion.model_validate(fold.answer(), strict=True)
    assert whole.usage is not None
    assert whole.usage.total_tokens == 17


if __name__ == "__main__":
    for name in CASES:
        golden_path(name).write_text(to_text(record(name)), encoding="utf-8")
