"""What the shipped weights do with the tools that gpt-oss was trained with, in its own forms."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from mlxoss.core import Effort
from mlxoss.harmony.builtins import BROWSER, PYTHON
from mlxoss.harmony.conversation import Builtin, BuiltinResult, Conversation, UserText
from mlxoss.harmony.encoding import Encoding
from mlxoss.harmony.prompt import render_prompt, render_results

from .conftest import greedy
from .test_turns import FINAL

BOTH = (BROWSER, PYTHON)


def prompt(encoding: Encoding, builtins: tuple[Builtin, ...], question: str) -> list[int]:
    """The question as the server renders it, at low effort."""
    date = datetime.date(2026, 3, 5)
    asked = (UserText(question),)
    conversation = Conversation(asked, date, effort=Effort.LOW, builtins=builtins)
    return render_prompt(encoding, conversation)


def call_and_answer(
    model: Any, encoding: Encoding, asked: list[int], result: BuiltinResult
) -> tuple[str, str]:
    """What is written first, and what after ``result``."""
    called = greedy(model, asked, 40)
    answer = greedy(model, [*asked, *called, *render_results(encoding, [result])], 40)
    return encoding.decode(called), encoding.decode(answer)


@pytest.mark.parametrize("builtins", [(PYTHON,), BOTH], ids=["python", "both"])
def test_python_computes_what_is_asked_of_it(
    model: Any, encoding: Encoding, builtins: tuple[Builtin, ...]
) -> None:
    asked = prompt(encoding, builtins, "What is 12345 * 6789? Use python.")
    result = BuiltinResult("python", "83810205\n")
    called, answer = call_and_answer(model, encoding, asked, result)
    code = "<|channel|>analysis to=python code<|message|>print(12345 * 6789)<|call|>"
    assert called == code
    assert answer == f"{FINAL}The answer: 83810205<|return|>"


@pytest.mark.parametrize("builtins", [(BROWSER,), BOTH], ids=["browser", "both"])
def test_the_web_is_searched_once(
    model: Any, encoding: Encoding, builtins: tuple[Builtin, ...]
) -> None:
    asked = prompt(encoding, builtins, "Search the web for red fish.")
    page = "[0] red fish\n\nL0: A page about fish that are red, and where they live."
    result = BuiltinResult("browser.search", page)
    called, answer = call_and_answer(model, encoding, asked, result)
    search = '<|channel|>analysis to=browser.search code<|message|>{"query":"red fish"}<|call|>'
    assert called == search
    assert answer == f"{FINAL}I searched the web.<|return|>"


@pytest.mark.parametrize(
    "builtins", [(PYTHON,), (BROWSER,), BOTH], ids=["python", "browser", "both"]
)
def test_what_needs_no_tool_is_answered(
    model: Any, encoding: Encoding, builtins: tuple[Builtin, ...]
) -> None:
    said = encoding.decode(greedy(model, prompt(encoding, builtins, "Hello!"), 40))
    assert said == f"{FINAL}Hello! How can I help you?<|return|>"
