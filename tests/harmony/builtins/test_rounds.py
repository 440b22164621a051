"""A loop of rounds: what was written and answered, put back to the token until a final ends it."""

from __future__ import annotations

import dataclasses

import openai_harmony
import pytest

from mlxoss.harmony.builtins import BROWSER, PYTHON
from mlxoss.harmony.conversation import (
    BuiltinCall,
    BuiltinResult,
    Conversation,
    ExactTurn,
    FinalText,
    FunctionResult,
    Item,
    UserText,
)
from mlxoss.harmony.encoding import END, RETURN, Encoding
from mlxoss.harmony.prompt import render_prompt, render_results
from mlxoss.harmony.read_turn import read_turn
from tests.support.harmony.conversations import WEATHER, conversation
from tests.support.harmony.official import official_prompt
from tests.support.harmony.turns import encode_turn

Result = BuiltinResult | FunctionResult

ASKED = conversation(UserText("Look, and compute."), builtins=(BROWSER, PYTHON), tools=(WEATHER,))
THINK = "<|channel|>analysis<|message|>So.<|end|><|start|>assistant"
CODE = "<|channel|>analysis to=python code<|message|>print(  1 )\n<|call|>"
CODE_IN_THE_ROLE = " to=python<|channel|>analysis code<|message|>1<|call|>"
SEARCH = '<|channel|>commentary to=browser.search <|constrain|>json<|message|>{"query":"x"}<|call|>'
WEATHER_CALL = (
    "<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{}<|end|>"
    "<|start|>assistant"
)
FINAL = f"{THINK}<|channel|>final<|message|>Done.<|return|>"

SHOWN = BuiltinResult("python", "1\n")
FOUND = BuiltinResult("browser.search", "[0] x ()\n【0†x】")
RAIN = FunctionResult("get_weather", "Rain.")

ROUNDS: dict[str, tuple[tuple[str, tuple[Result, ...]], ...]] = {
    "one": ((THINK + CODE, (SHOWN,)),),
    "without a thought": ((CODE, (SHOWN,)),),
    "the recipient in the role": ((THINK + CODE_IN_THE_ROLE, (SHOWN,)),),
    "three": ((THINK + SEARCH, (FOUND,)), (THINK + CODE, (SHOWN,)), (CODE_IN_THE_ROLE, (SHOWN,))),
    "a client's call with one of ours": ((THINK + WEATHER_CALL + CODE, (SHOWN, RAIN)),),
}


def _read(encoding: Encoding, written: str) -> ExactTurn:
    recipients = ASKED.builtin_recipients
    return read_turn(encoding, encode_turn(encoding, written), ASKED.functions, recipients)


def _grown(encoding: Encoding, name: str) -> Conversation:
    items: list[Item] = list(ASKED.items)
    for written, results in ROUNDS[name]:
        items += [_read(encoding, written), *results]
    return dataclasses.replace(ASKED, items=tuple(items))


@pytest.mark.parametrize("name", ROUNDS)
def test_each_prompt_is_what_was_computed(encoding: Encoding, name: str) -> None:
    ids = render_prompt(encoding, ASKED)
    for written, results in ROUNDS[name]:
        ids += [*encode_turn(encoding, written), *render_results(encoding, results)]
    assert render_prompt(encoding, _grown(encoding, name)) == ids


@pytest.mark.parametrize("name", ROUNDS)
def test_the_items_say_what_was_called(encoding: Encoding, name: str) -> None:
    for written, results in ROUNDS[name]:
        *_, last = _read(encoding, written).items
        assert isinstance(last, BuiltinCall)
        assert last.recipient in {one.author for one in results if isinstance(one, BuiltinResult)}
        assert last.text in written


@pytest.mark.parametrize("name", ROUNDS)
def test_after_a_final_the_prompt_is_the_library_s(
    encoding: Encoding, library: openai_harmony.HarmonyEncoding, name: str
) -> None:
    grown = _grown(encoding, name)
    done = (*grown.items, _read(encoding, FINAL), UserText("Thanks."))
    asked = dataclasses.replace(grown, items=done)
    flat: list[Item] = []
    for item in done:
        flat += item.items if isinstance(item, ExactTurn) else (item,)
    theirs = official_prompt(library, dataclasses.replace(asked, items=tuple(flat)))
    assert render_prompt(encoding, asked) == theirs


def test_a_final_leaves_what_is_called_after_it(encoding: Encoding) -> None:
    before = (UserText("Hi"), _read(encoding, CODE), SHOWN, _read(encoding, FINAL))
    after = (UserText("Again"), _read(encoding, CODE), SHOWN)
    asked = dataclasses.replace(ASKED, items=(*before, *after))
    short = dataclasses.replace(ASKED, items=(UserText("Hi"), FinalText("Done."), *after))
    assert render_prompt(encoding, asked) == render_prompt(encoding, short)


@pytest.mark.parametrize("stop", [None, RETURN, END])
def test_a_call_that_was_cut_becomes_a_whole_message(encoding: Encoding, stop: int | None) -> None:
    ids = encode_turn(encoding, CODE)[:-1] + ([] if stop is None else [stop])
    turn = read_turn(encoding, ids, (), ASKED.builtin_recipients)
    assert turn.items == (BuiltinCall("python", "print(  1 )\n"),)
    before = render_prompt(encoding, dataclasses.replace(ASKED, items=()))
    prompt = render_prompt(encoding, dataclasses.replace(ASKED, items=(turn, UserText("Hi"))))
    closed = [*before, *encode_turn(encoding, CODE)[:-1], END]
    assert prompt[: len(closed)] == closed


def test_a_result_that_the_model_made_up_does_not_come_back(encoding: Encoding) -> None:
    made_up = CODE.replace("<|call|>", "<|end|>") + (
        "<|start|>python to=assistant<|channel|>analysis<|message|>42<|end|><|start|>assistant"
        + CODE_IN_THE_ROLE
    )
    turn = _read(encoding, made_up)
    asked = dataclasses.replace(ASKED, items=(turn, SHOWN))
    assert "42" not in encoding.decode(render_prompt(encoding, asked))
    calls = dataclasses.replace(ASKED, items=(*turn.items, SHOWN))
    assert render_prompt(encoding, asked) == render_prompt(encoding, calls)
