"""Where prompts are cut for those that begin alike."""

from __future__ import annotations

import datetime
import itertools

import pytest

from mlxoss.harmony.boundaries import (
    APART_TOKENS,
    DEVELOPER,
    SYSTEM,
    USER,
    find_boundaries,
)
from mlxoss.harmony.conversation import (
    Conversation,
    FinalText,
    FunctionCall,
    FunctionResult,
    FunctionTool,
    Item,
    UserText,
)
from mlxoss.harmony.encoding import START, Encoding
from mlxoss.harmony.prompt import render_prompt

LONG = "word " * APART_TOKENS
QUESTION = UserText("And then?")


def render(encoding: Encoding, *items: Item, tools: bool = False) -> list[int]:
    conversation = Conversation(
        items,
        datetime.date(2026, 11, 22),
        instructions="Be brief.",
        tools=(FunctionTool("f", "It does."),) if tools else (),
    )
    return render_prompt(encoding, conversation)


def test_the_roles_are_one_token_each(encoding: Encoding) -> None:
    words = [encoding.encode_text(role) for role in ("system", "developer", "user")]
    assert words == [[SYSTEM], [DEVELOPER], [USER]]


def first(encoding: Encoding, ids: list[int], role: str) -> int:
    """The length of ``ids`` up to where its first message of ``role`` has begun."""
    (token,) = encoding.encode_text(role)
    return next(i for i, pair in enumerate(itertools.pairwise(ids)) if pair[1] == token) + 1


def test_a_first_message_has_the_end_of_the_head_and_its_own(encoding: Encoding) -> None:
    for tools in (False, True):
        ids = render(encoding, QUESTION, tools=tools)
        assert find_boundaries(ids) == [first(encoding, ids, "user"), len(ids) - 1]
        assert ids[find_boundaries(ids)[0] - 1] == START


def test_a_later_message_has_its_beginning_too(encoding: Encoding) -> None:
    before = render(encoding, UserText("One."))
    after = render(encoding, UserText("One."), FinalText("Two."))
    ids = render(encoding, UserText("One."), FinalText("Two."), QUESTION)
    head = first(encoding, ids, "user")
    assert find_boundaries(ids) == [head, len(after) - 1, len(ids) - 1]
    # What is known already is not asked for again.
    assert find_boundaries(ids, len(before) - 1) == [len(after) - 1, len(ids) - 1]
    assert find_boundaries(ids, len(after) - 1) == [len(ids) - 1]
    assert find_boundaries(ids, len(ids) - 1) == []


def test_the_boundaries_of_a_prompt_are_prefixes_of_the_next(encoding: Encoding) -> None:
    items: list[Item] = [
        UserText("One."),
        FunctionCall("f", "{}"),
        FunctionResult("f", "Two."),
        QUESTION,
    ]
    prompts = [render(encoding, *items[:n], tools=True) for n in (1, 3, 4)]
    for one, next_one in itertools.pairwise(prompts):
        for length in find_boundaries(one):
            assert one[:length] == next_one[:length]


def test_far_messages_are_boundaries_near_ones_are_not(encoding: Encoding) -> None:
    short: list[Item] = [UserText("a"), FinalText("b")] * 5
    ids = render(encoding, *short, QUESTION)
    assert len(find_boundaries(ids)) == 3
    long: list[Item] = [UserText(LONG), FinalText("b")] * 5
    ids = render(encoding, *long, QUESTION)
    found = find_boundaries(ids)
    # The head, the end of each long message, the beginning of the last one, and its end.
    assert len(found) == 8
    assert all(ids[length - 1] == START for length in found)
    assert found == sorted(set(found))


@pytest.mark.parametrize(
    ("ids", "found"),
    [
        ((1,), []),
        ((1, 2), [1]),
        ((START, SYSTEM), [1]),
        ((START, START, START), [2]),
        ((START, USER, 3, START), [3]),
        ((START, USER, START, USER, START, 5), [3, 5]),
        ((1, 2, 3), [2]),
    ],
)
def test_odd_prompts(ids: tuple[int, ...], found: list[int]) -> None:
    assert find_boundaries(ids) == found
