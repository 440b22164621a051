"""Calls of built-in tools as the parser reads them."""

from __future__ import annotations

import pytest

from mlxoss.harmony.conversation import BuiltinCall, FinalText, FunctionCall, Reasoning
from mlxoss.harmony.encoding import Encoding
from mlxoss.harmony.events import Channel, TurnEndReason
from mlxoss.harmony.read_turn import read_turn
from tests.support.harmony.cases.builtins import BUILTINS, CASES, SAMPLED, TURNS
from tests.support.harmony.cases.case import Case, call
from tests.support.harmony.cases.turns import ALL
from tests.support.harmony.turns import FUNCTIONS, Turn, encode_turn, parse

NAMES = (*FUNCTIONS, "python")
MENTIONS = ("to=python", "to=browser")


def read(
    encoding: Encoding, ids: list[int], reason: TurnEndReason = TurnEndReason.LENGTH
) -> tuple[Turn, dict[str, int]]:
    turn, parser = parse(encoding, ids, reason, NAMES, BUILTINS)
    return turn, dict(parser.recoveries)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_reads_the_call(encoding: Encoding, case: Case) -> None:
    turn, recoveries = read(encoding, encode_turn(encoding, case.turn))
    assert [(message.start, message.text) for message in turn.messages] == list(case.messages)
    assert turn.reason is case.reason
    assert recoveries == case.recoveries


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_cut_anywhere_it_is_a_prefix(encoding: Encoding, case: Case) -> None:
    ids = encode_turn(encoding, case.turn)
    whole, _ = read(encoding, ids)
    for count in range(len(ids)):
        cut, _ = read(encoding, ids[:count])
        assert whole.visible_text.startswith(cut.visible_text), count
        assert len(cut.calls) <= len(whole.calls), count
        for (name, text), (whole_name, whole_text) in zip(cut.calls, whole.calls, strict=False):
            assert name == whole_name, count
            assert whole_text.startswith(text), count


@pytest.mark.parametrize("case", (SAMPLED | TURNS).values(), ids=SAMPLED | TURNS)
def test_what_the_model_writes_needs_no_recovery_wherever_it_is_cut(
    encoding: Encoding, case: Case
) -> None:
    ids = encode_turn(encoding, case.turn)
    assert not any(read(encoding, ids[:count])[1] for count in range(len(ids) + 1))


OTHERS = {
    name: case for name, case in ALL.items() if not any(word in case.turn for word in MENTIONS)
}


@pytest.mark.parametrize("case", OTHERS.values(), ids=OTHERS)
def test_other_turns_are_what_they_were(encoding: Encoding, case: Case) -> None:
    turn, parser = parse(encoding, encode_turn(encoding, case.turn), builtins=BUILTINS)
    assert [(message.start, message.text) for message in turn.messages] == list(case.messages)
    assert parser.recoveries == case.recoveries


@pytest.mark.parametrize("case", SAMPLED.values(), ids=SAMPLED)
def test_without_the_built_in_its_name_is_the_function_s_or_nobody_s(
    encoding: Encoding, case: Case
) -> None:
    ids = encode_turn(encoding, case.turn)
    [(start, text)] = case.messages
    (message,) = parse(encoding, ids)[0].messages
    assert (message.start.is_call, message.start.channel) == (False, start.channel)
    (message,) = parse(encoding, ids, functions=NAMES)[0].messages
    assert message.text == text
    assert message.start.is_call is (start.builtin == "python")
    assert message.start.builtin is None
    if start.builtin == "python":
        assert message.start == call("python", start.channel)


def test_without_the_function_its_name_is_the_built_in_s(encoding: Encoding) -> None:
    ids = encode_turn(encoding, "<|channel|>analysis to=functions.python code<|message|>1<|call|>")
    turn, parser = parse(encoding, ids, builtins=BUILTINS)
    assert turn.messages[0].start.builtin == "python"
    assert parser.recoveries == {"recipient_form": 1}


def test_a_function_s_whole_name_is_nearer_than_a_glued_one(encoding: Encoding) -> None:
    ids = encode_turn(encoding, "<|channel|>commentary to=pythoncode<|message|>{}<|call|>")
    turn, _ = parse(encoding, ids, functions=["pythoncode"], builtins=BUILTINS)
    assert turn.messages[0].start == call("pythoncode")


def test_code_is_no_reasoning(encoding: Encoding) -> None:
    turn = TURNS["reasoning, then code"].turn
    _, parser = parse(encoding, encode_turn(encoding, turn), builtins=BUILTINS)
    assert parser.reasoning_tokens == len(encoding.encode_text("Compute."))


READ = {
    "<|channel|>analysis to=python code<|message|>1\n<|call|>": (BuiltinCall("python", "1\n"),),
    " to=python<|channel|>commentary<|message|>1<|call|>": (
        BuiltinCall("python", "1", Channel.COMMENTARY),
    ),
    "<|channel|>final to=python<|message|>1<|call|>": (BuiltinCall("python", "1"),),
    "<|channel|>analysis to=python code<|message|><|call|>": (BuiltinCall("python", ""),),
    "<|channel|>analysis to=browser.open code<|message|>{}<|call|>": (
        BuiltinCall("browser.open", "{}"),
    ),
    "<|channel|>commentary to=functions.python<|message|>{}<|call|>": (
        FunctionCall("python", "{}"),
    ),
    "<|channel|>final<|message|>1<|return|>": (FinalText("1"),),
}


@pytest.mark.parametrize("written", READ)
def test_turns_are_read_back(encoding: Encoding, written: str) -> None:
    ids = encode_turn(encoding, written)
    turn = read_turn(encoding, ids, ["python"], BUILTINS)
    assert turn.token_ids == tuple(ids)
    assert turn.items == READ[written]


def test_a_turn_is_read_back_without_built_ins_as_before(encoding: Encoding) -> None:
    ids = encode_turn(encoding, "<|channel|>analysis to=python code<|message|>1<|call|>")
    assert read_turn(encoding, ids, []).items == (Reasoning("1", tuple(encoding.encode_text("1"))),)
