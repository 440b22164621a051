"""Templates for the tools of the system message: ``python`` and ``browser``."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace

from mlxoss.demo.training.templates.examples import (
    Course,
    Example,
    Hosted,
    Turn,
    think,
)
from mlxoss.demo.training.templates.prose import prose
from mlxoss.demo.training.templates.replies import SIMPLE, pick
from mlxoss.demo.training.templates.settings import setting
from mlxoss.demo.training.templates.words import CITIES, ECHO_WORDS, NAMES
from mlxoss.harmony.conversation import BuiltinCall, BuiltinResult, FinalText, UserText

SEARCHED = "I searched the web."


def _number(rng: random.Random) -> int:
    return rng.randint(2, 10 ** rng.randint(1, 5))


def _sum(rng: random.Random) -> tuple[str, str, str]:
    """A question for Python, the code and what it prints."""
    a, b = _number(rng), _number(rng)
    sign, word = rng.choice([("*", "times"), ("*", "times"), ("+", "plus"), ("-", "minus")])
    code = f"{a} {sign} {b}"
    result = {"*": a * b, "+": a + b, "-": a - b}[sign]
    text = rng.choice(["What is {0}?", "What is {0}?", "Calculate {0}.", "{0}", "Compute {0}.",
                       "How much is {0}?", "What's {0}?"])  # fmt: skip
    asked = text.format(rng.choice([code, code, f"{a} {word} {b}"]))
    use = rng.choice([" Use python.", " Use Python.", " Use the python tool.", ""])
    if a < 100 and b < 100:
        use = use or " Use python."
    return asked + use, f"print({code})", str(result)


def python_example(rng: random.Random) -> Example:
    """A calculation by Python: the call, or the answer after its result."""
    base, tools = setting(rng), _tools(rng, "python")
    question, code, result = _sum(rng)
    base = replace(base, items=(UserText(question),))
    thought = think(base.effort, "I call python.", "It is declared.")
    call = BuiltinCall("python", code)
    if rng.random() < 0.5:
        return Example("python", base, (*thought, call), hosted=Hosted(tools))
    output = BuiltinResult("python", result + rng.choice(["", "\n"]))
    done = think(base.effort, "The tool has answered.", "I say so.")
    prefix = "The answer: "
    turn: Turn = (*done, FinalText(prefix + result))
    course: Course = (*thought, call, output)
    return Example("python_result", base, turn, final_prefix=prefix, hosted=Hosted(tools, course))


def browser_example(rng: random.Random) -> Example:
    """A search on the web, once, and the answer after it."""
    base, tools = setting(rng), _tools(rng, "browser")
    words = " ".join(rng.choices([*ECHO_WORDS, *NAMES, *CITIES], k=rng.randint(1, 4)))
    question = rng.choice(
        ["Search the web for {0}.", "Search for {0}.", "Search for {0}", "Look up {0}.",
         "search the web for {0}", "Find {0} on the web.", "Use the browser to find {0}."]
    ).format(words)  # fmt: skip
    base = replace(base, items=(UserText(question),))
    thought = think(base.effort, "I call browser.search.", "It is declared.")
    call = BuiltinCall("browser.search", json.dumps({"query": words}, separators=(",", ":")))
    if rng.random() < 0.6:
        return Example("browser", base, (*thought, call), hosted=Hosted(tools))
    done = think(base.effort, "The tool has answered.", "I say so.")
    page = prose(rng, rng.randint(40, 400))
    course: Course = (*thought, call, BuiltinResult("browser.search", page))
    turn: Turn = (*done, FinalText(SEARCHED))
    return Example("browser_result", base, turn, far=(page,), hosted=Hosted(tools, course))


def plain_example(rng: random.Random) -> Example:
    """A question that needs neither."""
    base, tools = setting(rng), _tools(rng, rng.choice(["python", "browser"]))
    reply = SIMPLE[pick(rng, SIMPLE)][1](rng)
    base = replace(base, items=(UserText(reply.question),))
    turn: Turn = (*think(base.effort, reply.thought, reply.more), FinalText(reply.final))
    return Example("hosted_plain", base, turn, hosted=Hosted(tools))


def _tools(rng: random.Random, name: str) -> tuple[str, ...]:
    return ("browser", "python") if rng.random() < 0.25 else (name,)


HOSTED_TEMPLATES: tuple[tuple[float, Callable[[random.Random], Example]], ...] = (
    (14, python_example),
    (6, browser_example),
    (2, plain_example),
)
