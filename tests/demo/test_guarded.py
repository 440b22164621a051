"""The shipped weights answer the same with the guard and without."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from mlxoss.core import Effort, GenerationRequest, SamplingParams
from mlxoss.engine.mlx.batch import MlxBackend
from mlxoss.harmony.conversation import Conversation, FunctionTool, ResponseFormat, UserText
from mlxoss.harmony.encoding import CALL, RETURN, STOP_IDS, Encoding
from mlxoss.harmony.grammar.compiler import GrammarCompiler
from mlxoss.harmony.grammar.rules import CallRule, FreeText, Json, TurnRules
from mlxoss.harmony.prompt import render_prompt
from tests.support.engine.harness import run_batch

from .test_turns import CITY_WEATHER, PERSON, TIME, WEATHER

pytestmark = pytest.mark.slow

ASKED: dict[str, tuple[str, Effort, tuple[FunctionTool, ...], ResponseFormat | None]] = {
    "greeting": ("Hello!", Effort.LOW, (), None),
    "reasoning": ("What is 12 + 7?", Effort.MEDIUM, (), None),
    "fact": ("What is the capital of Japan?", Effort.LOW, (), None),
    "a call": ("What is the weather in Berlin?", Effort.LOW, (CITY_WEATHER,), None),
    "one tool of two": (
        "What's the weather like in Paris?",
        Effort.LOW,
        (CITY_WEATHER, TIME),
        None,
    ),
    "a call with a choice": ("What is the weather in Oslo?", Effort.LOW, (WEATHER,), None),
    "a call after reasoning": (
        "What is the weather in Tokyo?",
        Effort.MEDIUM,
        (CITY_WEATHER,),
        None,
    ),
    "a call after a preamble": (
        "Explain what you do, then check the weather in Oslo.",
        Effort.LOW,
        (CITY_WEATHER,),
        None,
    ),
    "no call": ("Hello!", Effort.LOW, (WEATHER,), None),
    "a schema": ("Ada is 36 years old.", Effort.LOW, (), PERSON),
}


@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)
def test_the_guard_changes_nothing(
    model: Any, encoding: Encoding, guards: GrammarCompiler, asked: tuple[Any, ...]
) -> None:
    text, effort, tools, shape = asked
    conversation = Conversation(
        (UserText(text),),
        datetime.date(2026, 3, 5),
        tools=tools,
        response_format=shape,
        effort=effort,
    )
    rules = TurnRules(
        calls=tuple(CallRule(tool.name, Json(tool.parameters or {})) for tool in tools),
        preambles=bool(tools),
        final=FreeText() if shape is None else Json(shape.schema),
    )
    prompt = tuple(render_prompt(encoding, conversation))
    plain = GenerationRequest(prompt, 100, STOP_IDS, SamplingParams(temperature=0.0))
    guarded = GenerationRequest(
        prompt, 100, STOP_IDS, SamplingParams(temperature=0.0), guards.compile(rules)
    )
    backend = MlxBackend(model)
    (without,) = run_batch(backend, [plain])
    (alone,) = run_batch(backend, [guarded])
    together = run_batch(backend, [guarded, plain, guarded])
    assert without.ids[-1] in (CALL, RETURN)
    assert alone.ids == without.ids
    assert [outcome.ids for outcome in together] == [without.ids] * 3
