"""Chat messages get the turn behind their calls back; sealed contents stay sealed."""

from __future__ import annotations

import datetime
import os
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlxoss.api.chat.items import issued_call_ids
from mlxoss.api.chat.prompt import to_turn_request
from mlxoss.api.chat.request import parse_chat_request
from mlxoss.api.history.encrypted_content import ContentSeal
from mlxoss.api.history.replay import ExactTurns
from mlxoss.core import KEY_BYTES
from mlxoss.harmony.conversation import (
    Conversation,
    ExactTurn,
    FunctionCall,
    PlainItem,
    Preamble,
    Reasoning,
)
from mlxoss.harmony.encoding import Encoding
from mlxoss.harmony.prompt import render_prompt
from mlxoss.harmony.read_turn import read_turn
from tests.support.harmony.turns import encode_turn

DATE = datetime.date(2026, 2, 3)
USER = {"role": "user", "content": "Weather?"}
NEXT = "<|end|><|start|>assistant"
CALL = "<|channel|>commentary to=functions.f <|constrain|>json<|message|>"
TURN = (
    f"<|channel|>analysis<|message|>Hm.{NEXT}<|channel|>analysis<|message|>So.{NEXT}"
    f"<|channel|>commentary<|message|>Wait.{NEXT}<|channel|>commentary<|message|>Look.{NEXT}"
    f'{CALL}{{"a": 1}}{NEXT}{CALL}{{}}<|call|>'
)


@dataclass(frozen=True)
class Record:
    token_ids: tuple[int, ...]
    item_ids: tuple[str, ...] = ()
    call_ids: tuple[str, ...] = ("call_1", "call_2")


def call(call_id: str, arguments: str) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": "f", "arguments": arguments}}


def message(**fields: Any) -> dict[str, Any]:
    calls = [call("call_1", '{"a": 1}'), call("call_2", "{}")]
    return {"role": "assistant", "content": "Wait.\n\nLook.", "tool_calls": calls, **fields}


def converse(encoding: Encoding, *messages: dict[str, Any], written: str = TURN) -> Conversation:
    results = [
        {"role": "tool", "tool_call_id": one["id"], "content": "rain"}
        for one in messages[-1].get("tool_calls") or ()
    ]
    request = parse_chat_request({"model": "m", "messages": [*messages, *results]})
    record = Record(tuple(encode_turn(encoding, written)))
    turns = ExactTurns([record], partial(read_turn, encoding))
    return to_turn_request(request, date=DATE, turns=turns).conversation


SAME: dict[str, dict[str, Any]] = {
    "no reasoning": {},
    "its reasoning": {"reasoning": "Hm.\n\nSo."},
    "its reasoning under the other name": {"reasoning_content": "Hm.\n\nSo."},
    "arguments spelt anew": {"tool_calls": [call("call_1", '{"a":1}'), call("call_2", "{ }")]},
}
CHANGED: dict[str, dict[str, Any]] = {
    "other reasoning": {"reasoning": "No."},
    "other text": {"content": "Wait."},
    "no text": {"content": None},
    "other arguments": {"tool_calls": [call("call_1", "{}"), call("call_2", "{}")]},
    "one call less": {"tool_calls": [call("call_1", '{"a": 1}')]},
    "another order": {"tool_calls": [call("call_2", "{}"), call("call_1", '{"a": 1}')]},
    "unknown calls": {"tool_calls": [call("x", '{"a": 1}'), call("y", "{}")]},
}


@pytest.mark.parametrize("case", SAME)
def test_a_message_of_ours_is_the_exact_turn(encoding: Encoding, case: str) -> None:
    conversation = converse(encoding, USER, message(**SAME[case]))
    assert isinstance(conversation.items[1], ExactTurn)
    start = [*render_prompt(encoding, converse(encoding, USER)), *encode_turn(encoding, TURN)]
    assert render_prompt(encoding, conversation)[: len(start)] == start


@pytest.mark.parametrize("case", CHANGED)
def test_a_changed_message_is_the_client_s(encoding: Encoding, case: str) -> None:
    conversation = converse(encoding, USER, message(**CHANGED[case]))
    assert not any(isinstance(item, ExactTurn) for item in conversation.items)


def test_turns_before_an_answer_do_not_matter(encoding: Encoding) -> None:
    results = [{"role": "tool", "tool_call_id": f"call_{i}", "content": "rain"} for i in (1, 2)]
    over = [USER, message(), *results, {"role": "assistant", "content": "Rain."}, USER]
    conversation = converse(encoding, *over)
    assert not any(isinstance(item, ExactTurn) for item in conversation.items)
    request = parse_chat_request({"model": "m", "messages": over})
    assert issued_call_ids(request.messages) == ()
    open_turn = parse_chat_request({"model": "m", "messages": [*over, message()]})
    assert issued_call_ids(open_turn.messages) == ("call_1", "call_2")


def test_a_turn_with_an_answer_of_its_own_is_not_spliced(encoding: Encoding) -> None:
    written = f'<|channel|>final<|message|>Wait.{NEXT}{CALL}{{"a": 1}}{NEXT}{CALL}{{}}<|call|>'
    conversation = converse(encoding, USER, message(content="Wait."), written=written)
    assert not any(isinstance(item, ExactTurn) for item in conversation.items)


def test_calls_of_a_turn_keep_their_kind(encoding: Encoding) -> None:
    """The ids do not tell a custom call, and its turn may have to be rendered from its items."""
    head = "<|channel|>commentary to=functions.f code<|message|>"
    calls = [
        {"id": f"call_{i}", "type": "custom", "custom": {"name": "f", "input": f"x{i}"}}
        for i in (1, 2)
    ]
    sent = {"role": "assistant", "tool_calls": calls}
    conversation = converse(encoding, USER, sent, written=f"{head}x1{NEXT}{head}x2<|call|>")
    turn = conversation.items[1]
    assert isinstance(turn, ExactTurn)
    assert turn.items == tuple(FunctionCall("f", f"x{i}", is_text=True) for i in (1, 2))


IDS = st.none() | st.lists(st.integers(0, 201_087), min_size=1, max_size=30).map(tuple)


@settings(max_examples=100, deadline=None, print_blob=True)
@given(text=st.text(st.characters(categories=None), max_size=30), ids=IDS)
def test_what_was_sealed_opens(text: str, ids: tuple[int, ...] | None) -> None:
    seal = ContentSeal(os.urandom(KEY_BYTES), os.urandom)
    opened = seal.open_reasoning(seal.seal_reasoning(Reasoning(text, ids)))
    assert opened == Reasoning(text if ids is None else "", ids)
    assert seal.open_compaction(seal.seal_compaction(text), param="x") == text


def test_sealed_contents_tell_nothing_and_never_repeat() -> None:
    seal = ContentSeal(os.urandom(KEY_BYTES), os.urandom)
    contents = {seal.seal_compaction("a secret") for _ in range(20)}
    assert len(contents) == 20
    assert not any("secret" in content for content in contents)


def test_every_changed_letter_is_noticed() -> None:
    seal = ContentSeal(bytes(KEY_BYTES), os.urandom)
    content = seal.seal_reasoning(Reasoning("so", (1, 2, 3)))
    # The last letter before the padding may have bits that mean nothing.
    for position, letter in enumerate(content.rstrip("=")[:-1]):
        changed = content[:position] + ("A" if letter != "A" else "B") + content[position + 1 :]
        assert seal.open_reasoning(changed) is None


def test_arguments_that_say_the_same_are_the_same(encoding: Encoding) -> None:
    for arguments, is_same in [
        ('{"a":1}', True),
        ('{ "a" : 1 }', True),
        ('{"a": true}', False),
        ('{"a": "1"}', False),
        ("[1]", False),
    ]:
        turns = ExactTurns(
            [Record(tuple(encode_turn(encoding, TURN)))], partial(read_turn, encoding)
        )
        record = turns.by_call("call_1")
        assert record is not None
        sent: list[PlainItem] = [
            Preamble("Wait."),
            Preamble("Look."),
            FunctionCall("f", arguments),
            FunctionCall("f", "{}"),
        ]
        assert (turns.matching(record, sent) is not None) is is_same, arguments
