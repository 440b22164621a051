"""Calls with which a turn ends, whatever the model does after them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mlxoss.api.turn_request import TurnOutput
from mlxoss.core import FinishReason, TokenOutput
from mlxoss.engine.generation import Generation
from mlxoss.engine.progress import PromptProgress
from mlxoss.harmony.encoding import STOP_IDS, Encoding
from mlxoss.harmony.events import ContentDelta, MessageEnd, MessageStart, TurnEnd, TurnEndReason
from mlxoss.harmony.parser import TurnParser
from mlxoss.turns.choice import FinalTextGate, TurnChoice
from tests.support.fakes import ScriptedBackend
from tests.support.harmony.turns import encode_turn
from tests.support.server.harness import Server
from tests.support.server.scripts import to_ids

Serve = Callable[..., Server]

USER: Any = [{"role": "user", "content": "Hello"}]
TOOL: Any = {"type": "function", "function": {"name": "f"}}
FUNCTION = "<|channel|>commentary to=functions.f<|message|>{}"
CODE = "<|channel|>analysis to=python code<|message|>1"
MORE = "<|start|>assistant<|channel|>final<|message|>It is 1.<|return|>"


class Written:
    """A turn as one choice takes it, each token as if the model had just written it."""

    def __init__(self, encoding: Encoding, turn: str, *, single_call: bool) -> None:
        self.was_cancelled = False
        generation = Generation(1, PromptProgress(1, lambda: 0.0), self._cancel)
        parser = TurnParser(encoding, ["f"], ["python"])
        gate = FinalTextGate(0, ())
        choice = TurnChoice(generation, parser, gate, single_call=single_call, loop_tokens=0)
        ids = encode_turn(encoding, turn)
        last = FinishReason.STOP if ids[-1] in STOP_IDS else FinishReason.LENGTH
        outputs: list[TurnOutput] = []
        for index, token_id in enumerate(ids):
            is_last = index == len(ids) - 1
            outputs += choice.take([TokenOutput(token_id, last if is_last else None)])
        self.events = [output.event for output in outputs]
        self.taken = encoding.decode(choice.token_ids)

    def _cancel(self) -> None:
        self.was_cancelled = True

    @property
    def calls(self) -> list[str | None]:
        starts = [event for event in self.events if isinstance(event, MessageStart)]
        return [start.recipient or start.builtin for start in starts]


@pytest.mark.parametrize("single_call", [False, True])
@pytest.mark.parametrize("end", ["<|end|>", "<|call|>", "<|return|>", ""])
def test_a_built_in_s_call_ends_its_turn(encoding: Encoding, end: str, single_call: bool) -> None:
    written = Written(encoding, f"{CODE}{end}{MORE}", single_call=single_call)
    assert written.events[-1] == TurnEnd(TurnEndReason.CALL)
    assert written.calls == ["python"]
    assert written.taken == CODE + (end or "<|start|>")
    assert written.was_cancelled


@pytest.mark.parametrize(("single_call", "calls"), [(False, ["f", None]), (True, ["f"])])
def test_a_function_s_call_ends_it_where_one_is_wanted(
    encoding: Encoding, single_call: bool, calls: list[str | None]
) -> None:
    assert Written(encoding, f"{FUNCTION}<|end|>{MORE}", single_call=single_call).calls == calls


@pytest.mark.parametrize("single_call", [False, True])
@pytest.mark.parametrize("call", [CODE, FUNCTION])
def test_a_call_that_was_cut_is_none(encoding: Encoding, call: str, single_call: bool) -> None:
    written = Written(encoding, call, single_call=single_call)
    assert isinstance(written.events[-3], ContentDelta)
    assert written.events[-2:] == [MessageEnd(is_cut=True), TurnEnd(TurnEndReason.LENGTH)]


def test_a_client_is_told_that_its_only_call_was_cut(serve: Serve, encoding: Encoding) -> None:
    ids = to_ids(encoding, '<|channel|>commentary to=functions.f<|message|>{"a": "b"}<|call|>')
    client = serve(ScriptedBackend(lambda request: ids)).client()
    answer = client.chat.completions.create(
        model="m", messages=USER, tools=[TOOL], parallel_tool_calls=False, max_tokens=len(ids) - 2
    )
    assert answer.choices[0].finish_reason == "length"


def test_code_may_repeat(encoding: Encoding) -> None:
    """What a call says is data; only what is said to people is looked at."""
    generation = Generation(1, PromptProgress(1, lambda: 0.0), lambda: None)
    parser = TurnParser(encoding, (), ["python"])
    gate = FinalTextGate(0, ())
    choice = TurnChoice(generation, parser, gate, single_call=False, loop_tokens=256)
    ids = encode_turn(encoding, CODE) + encode_turn(encoding, ", 0") * 1000
    for token_id in ids:
        choice.take([TokenOutput(token_id)])
    assert not choice.has_ended
