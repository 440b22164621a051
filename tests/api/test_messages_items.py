"""What Anthropic's messages become, and how their thinking sets the effort."""

from __future__ import annotations

import datetime
import os
from functools import partial
from typing import Any

import pytest

from mlxoss.api.history.encrypted_content import ContentSeal
from mlxoss.api.history.replay import ExactTurns
from mlxoss.api.messages.fold import to_input
from mlxoss.api.messages.items import issued_call_ids
from mlxoss.api.messages.prompt import Recalled, to_conversation
from mlxoss.api.messages.request import parse_count_tokens_request
from mlxoss.core import KEY_BYTES, Effort
from mlxoss.harmony.conversation import (
    Conversation,
    DeveloperText,
    FinalText,
    FunctionCall,
    FunctionResult,
    Preamble,
    Reasoning,
    UserText,
)
from mlxoss.harmony.encoding import Encoding
from mlxoss.harmony.read_turn import read_turn

DATE = datetime.date(2026, 11, 22)
SEAL = ContentSeal(bytes(KEY_BYTES), os.urandom)


def text(*texts: str) -> list[Any]:
    return [{"type": "text", "text": one} for one in texts]


def say(role: str, *blocks: Any) -> Any:
    return {"role": role, "content": [*blocks]}


CALL: Any = {"type": "tool_use", "id": "t1", "name": "f", "input": {"b": 1, "a": "é"}}
RESULT: Any = {"type": "tool_result", "tool_use_id": "t1", "content": text("one", "two")}
THOUGHT: Any = {"type": "thinking", "thinking": "Hm.", "signature": ""}
SEALED: Any = THOUGHT | {"signature": SEAL.seal_reasoning(Reasoning("Hm.", (5, 6)))}
CALLED = FunctionCall("f", '{"b":1,"a":"é"}')
ASK = say("user", *text("Go"))

CASES: list[tuple[list[Any], list[Any]]] = [
    ([{"role": "user", "content": "Hi"}], [UserText("Hi")]),
    ([say("user", *text("a", "b"))], [UserText("a\nb")]),
    ([ASK, say("system", *text("Be brief"))], [UserText("Go"), DeveloperText("Be brief")]),
    ([say("assistant", *text("a", "b")), ASK], [Preamble("a"), FinalText("b"), UserText("Go")]),
    (
        [say("assistant", THOUGHT, *text("a"), CALL), say("user", RESULT, *text("Go"))],
        [
            Reasoning("Hm."),
            Preamble("a"),
            CALLED,
            FunctionResult("f", "one\ntwo"),
            UserText("Go"),
        ],
    ),
    (
        [say("assistant", *text("a")), say("assistant", CALL), say("user", *text("Go"), RESULT)],
        [Preamble("a"), CALLED, FunctionResult("f", "one\ntwo"), UserText("Go")],
    ),
    (
        [say("assistant", CALL), say("user", RESULT | {"is_error": True})],
        [CALLED, FunctionResult("f", "Error: one\ntwo")],
    ),
    (
        [say("assistant", CALL), say("user", {"type": "tool_result", "tool_use_id": "t1"})],
        [CALLED, FunctionResult("f", "")],
    ),
    ([say("assistant", SEALED), ASK], [Reasoning("", (5, 6)), UserText("Go")]),
    (
        [say("assistant", SEALED | {"signature": "another server's"}), ASK],
        [Reasoning("Hm."), UserText("Go")],
    ),
    ([say("assistant", THOUGHT | {"thinking": ""}), ASK], [UserText("Go")]),
]


def converse(encoding: Encoding, **fields: Any) -> Conversation:
    request = parse_count_tokens_request({"model": "m", "messages": [ASK]} | fields)
    turns = ExactTurns([], partial(read_turn, encoding))
    return to_conversation(request, Recalled(turns, SEAL, DATE))


@pytest.mark.parametrize(("messages", "items"), CASES)
def test_messages_become_items(encoding: Encoding, messages: Any, items: Any) -> None:
    assert list(converse(encoding, messages=messages).items) == items


def test_the_system_s_text(encoding: Encoding) -> None:
    billing = "x-anthropic-billing-header: cc_version=2.1; cch=0a1b2;"
    for system, instructions in [
        ("Be brief.", "Be brief."),
        (text("Be brief.", "Be kind."), "Be brief.\n\nBe kind."),
        (text(billing, "Be brief."), "Be brief."),
        (f"{billing}\nBe brief.\nBe kind.", "Be brief.\nBe kind."),
        ("", None),
        (None, None),
    ]:
        assert converse(encoding, system=system).instructions == instructions


def test_the_calls_after_the_last_answer_matter() -> None:
    for messages, ids in [
        ([say("assistant", CALL), say("user", RESULT)], ("t1",)),
        ([say("assistant", *text("a"), CALL), say("user", RESULT)], ("t1",)),
        ([say("assistant", CALL), say("user", RESULT), say("assistant", *text("a")), ASK], ()),
    ]:
        request = parse_count_tokens_request({"model": "m", "messages": messages})
        assert issued_call_ids(request.messages) == ids


def test_how_long_it_thinks(encoding: Encoding) -> None:
    def effort(**fields: Any) -> Effort:
        return converse(encoding, **fields).effort

    def budget(tokens: int) -> Any:
        return {"type": "enabled", "budget_tokens": tokens}

    assert effort() is Effort.MEDIUM
    assert effort(thinking={"type": "adaptive"}) is Effort.MEDIUM
    assert effort(thinking={"type": "disabled"}) is Effort.LOW
    for tokens, wanted in [(1024, Effort.LOW), (8000, Effort.MEDIUM), (32000, Effort.HIGH)]:
        assert effort(thinking=budget(tokens)) is wanted
    for word, wanted in [("low", Effort.LOW), ("max", Effort.HIGH), ("ultra", Effort.HIGH)]:
        assert effort(thinking=budget(8000), output_config={"effort": word}) is wanted


def test_arguments_as_an_object() -> None:
    for arguments, wanted in [
        ('{"a": [1, {"b": null}]}', {"a": [1, {"b": None}]}),
        ('{"a": 1, "b": "cu', {"a": 1}),
        ("", {}),
        ("[1]", {}),
        ("no JSON", {}),
    ]:
        assert to_input(arguments) == wanted
