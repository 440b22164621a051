"""Which call an answer belongs to, where ids come twice, and where a loop is open."""

from __future__ import annotations

import random

import pytest

from mlxoss.api.history.tool_loops import CallMade, CallResult, ToolLoops
from mlxoss.errors import InvalidRequest

Step = CallMade | CallResult


def steps(text: str) -> list[Step]:
    """``f1`` calls the tool f under the id 1; ``-1`` answers it."""
    return [
        CallResult(place, word[1:], place, f"at[{place}]")
        if word[0] == "-"
        else CallMade(place, word[1:], word[0])
        for place, word in enumerate(text.split())
    ]


PAIRED = {
    "f1 g2 -2 -1": {2: "g", 3: "f"},
    "f1 g1 -1 -1": {2: "f", 3: "g"},
    "f1 g1 f1 -1 -1 -1": {3: "f", 4: "g", 5: "f"},
    "f1 -1 g1 -1": {1: "f", 3: "g"},
    "f1 f1 -1": {2: "f"},
    "f1 -1 -1": {1: "f", 2: "f"},
    "f1 g1 h2 -2": {3: "h"},
    "-1 f1": {},
    "": {},
}


@pytest.mark.parametrize("text", PAIRED)
def test_answers_belong_to_calls_in_order(text: str) -> None:
    assert ToolLoops(steps(text)).names == PAIRED[text]


@pytest.mark.parametrize("text", ["f1 g1 -1", "f1 g1 -1 -1 -1", "f1 -1 g1 h1 -1"])
def test_counts_that_do_not_allow_it_are_refused(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        ToolLoops(steps(text))
    assert "the id '1'" in str(caught.value)
    assert str(caught.value.param).startswith("at[")


def test_kinds_are_told_apart() -> None:
    loops = ToolLoops(
        [
            CallMade(0, "1", "f", "function"),
            CallMade(1, "1", "g", "custom"),
            CallResult(2, "1", "a", "x", "custom"),
            CallResult(3, "1", "b", "x", "function"),
        ]
    )
    assert loops.names == {"a": "g", "b": "f"}


def test_a_loop_is_open_from_a_call_to_its_last_answer() -> None:
    for seed in range(200):
        rng = random.Random(seed)
        count = rng.randint(1, 6)
        spans = [sorted(rng.sample(range(30), 2)) for _ in range(count)]
        found: list[Step] = []
        for number, (begin, end) in enumerate(spans):
            found.append(CallMade(begin, str(number), "f"))
            found.append(CallResult(end, str(number), number, "x"))
        loops = ToolLoops(sorted(found, key=lambda step: step.place))
        for place in range(30):
            expected = any(begin < place < end for begin, end in spans)
            assert loops.is_open(place) is expected, (seed, spans, place)
    assert not ToolLoops(steps("f1 g2")).is_open(1)
