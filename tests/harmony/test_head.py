"""What prompts of many conversations have in common, whatever the day."""

from __future__ import annotations

import datetime
import random

import pytest

from mlxoss.core import Effort
from mlxoss.harmony.conversation import Conversation, DeveloperText, FunctionTool, Item, UserText
from mlxoss.harmony.encoding import START, Encoding
from mlxoss.harmony.head import read_head, redate, to_prompt
from mlxoss.harmony.prompt import render_prompt

DAY = datetime.date(2026, 11, 28)
FIND = FunctionTool("find", "Finds. Current date: 2001-01-01", {"type": "object"})
PLENTY = 10_000


def render(
    encoding: Encoding, *items: Item, day: datetime.date = DAY, said: str = "Be brief."
) -> list[int]:
    conversation = Conversation(items=items, date=day, instructions=said, tools=(FIND,))
    return render_prompt(encoding, conversation)


def test_a_head_is_the_same_on_any_day_and_for_any_words(encoding: Encoding) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201
    rng = random.Random(seed)
    first = read_head(encoding, render(encoding, UserText("Hi")), PLENTY)
    assert first is not None
    assert first.ids[-1] == START
    for _ in range(50):
        day = datetime.date.fromordinal(rng.randint(730_000, 760_000))
        prompt = render(encoding, UserText(f"{rng.random()}"), day=day)
        head = read_head(encoding, prompt, PLENTY)
        assert head is not None
        assert head.ids == first.ids
        assert head.opening != first.opening
        today = redate(encoding, head.ids, day)
        assert list(today) == prompt[: len(today)]
        assert list(to_prompt(today)) == prompt[: len(today) + 1]


def test_a_conversation_that_goes_on_has_the_same_opening(encoding: Encoding) -> None:
    short = render(encoding, UserText("Hi"))
    longer = render(encoding, UserText("Hi"), UserText("More"))
    assert read_head(encoding, short, PLENTY) == read_head(encoding, longer, PLENTY)


def test_other_tools_instructions_and_efforts_are_other_heads(encoding: Encoding) -> None:
    heads = {
        read_head(encoding, prompt, PLENTY)
        for prompt in (
            render(encoding, UserText("Hi")),
            render(encoding, UserText("Hi"), said="Be verbose."),
            render_prompt(
                encoding, Conversation(items=(UserText("Hi"),), date=DAY, effort=Effort.HIGH)
            ),
        )
    }
    assert len({head.ids for head in heads if head is not None}) == 3


def test_later_developer_messages_in_front_belong_to_it(encoding: Encoding) -> None:
    prompt = render(encoding, DeveloperText("More rules"), UserText("Hi"))
    head = read_head(encoding, prompt, PLENTY)
    assert head is not None
    assert "More rules" in encoding.decode(head.ids)


@pytest.mark.parametrize("prompt", [[], [1, 2, 3], [START], [START, 17360, 200_007]])
def test_what_is_no_conversation_has_none(encoding: Encoding, prompt: list[int]) -> None:
    assert read_head(encoding, prompt, PLENTY) is None


def test_one_that_is_too_long_counts_as_none(encoding: Encoding) -> None:
    prompt = render(encoding, UserText("Hi"))
    head = read_head(encoding, prompt, PLENTY)
    assert head is not None
    assert read_head(encoding, prompt, len(head.ids)) == head
    assert read_head(encoding, prompt, len(head.ids) - 2) is None
