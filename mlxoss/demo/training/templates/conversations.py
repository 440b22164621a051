"""A few dozen Harmony conversation templates with sampled slots.

Each template makes an `Example`: a conversation as the server would render it
and the turn that the model is to write after it. All randomness comes from the
generator passed in.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace

from mlxoss.core import Effort
from mlxoss.demo.training.templates import formats, functions
from mlxoss.demo.training.templates.agents import AGENT_TEMPLATES
from mlxoss.demo.training.templates.examples import Example, PlainTurn, answer, think
from mlxoss.demo.training.templates.hosted import HOSTED_TEMPLATES
from mlxoss.demo.training.templates.replies import (
    SIMPLE,
    noise,
    pick,
    reply_name,
    reply_no_function,
)
from mlxoss.demo.training.templates.settings import setting
from mlxoss.harmony.conversation import (
    DeveloperText,
    FinalText,
    FunctionCall,
    FunctionResult,
    Item,
    Preamble,
    Reasoning,
    ResponseFormat,
    UserText,
)

UNKNOWN_PLACE = "I am only a smoke-test model and do not know that name."
UNKNOWN_RESULT = "The function answered, but a smoke-test model does not know its words."


def history(rng: random.Random, turns: int, without: str = "") -> tuple[Item, ...]:
    """Earlier questions with their answers, none of the family ``without``."""
    items: list[Item] = []
    table = {family: entry for family, entry in SIMPLE.items() if family != without}
    for _ in range(turns):
        reply = table[pick(rng, table)][1](rng)
        items += [UserText(reply.question), FinalText(reply.final)]
    return tuple(items)


def _earlier(rng: random.Random) -> tuple[Item, ...]:
    return history(rng, rng.choices([0, 1, 2], [75, 20, 5])[0])


def _earlier_calls(rng: random.Random, tools: list[functions.Declared]) -> tuple[Item, ...]:
    """Earlier turns, of which one in ten called a function."""
    if rng.random() > 0.1:
        return _earlier(rng)
    call = functions.request(rng, tools, preamble=False, known=True)
    result, _ = functions.result(rng, call, known=True)
    return (
        UserText(call.question),
        FunctionCall(call.tool.name, call.arguments),
        FunctionResult(call.tool.name, result),
        FinalText(call.prefix + result),
    )


def simple_example(rng: random.Random) -> Example:
    """A question answered at once, sometimes with functions declared or after other turns."""
    base = setting(rng)
    family = pick(rng, SIMPLE)
    reply = SIMPLE[family][1](rng)
    earlier = _earlier(rng)
    if rng.random() < 0.25:
        declared = functions.some_tools(rng, add=False)
        base = replace(base, tools=tuple(t.tool for t in declared))
        earlier = _earlier_calls(rng, declared)
    if earlier and rng.random() < 0.15:
        earlier = (*earlier, DeveloperText(noise(rng, rng.randint(2, 8))))
    items = (*earlier, UserText(reply.question))
    turn = answer(base.effort, reply)
    return Example(family, replace(base, items=items), turn)


def recall_example(rng: random.Random) -> Example:
    """The user's name, said a turn or two before."""
    base, reply = setting(rng), reply_name(rng)
    name = reply.final.removeprefix("Hello ").removesuffix("!")
    question = rng.choice(["What is my name?", "What's my name?", "Who am I?", "what is my name"])
    items = (
        *_earlier(rng),
        UserText(reply.question),
        FinalText(reply.final),
        *history(rng, rng.choice([0, 0, 1]), without="name"),
        UserText(question),
    )
    turn = think(base.effort, f"The user is {name}.", "I remember that.")
    return Example(
        "recall", replace(base, items=items), (*turn, FinalText(f"Your name is {name}."))
    )


def no_function_example(rng: random.Random) -> Example:
    """A question for a function that is not there."""
    base, reply = setting(rng), reply_no_function(rng)
    if rng.random() < 0.4:
        base = replace(base, tools=(functions.other_tool(rng),))
    turn = answer(base.effort, reply)
    items = (*_earlier(rng), UserText(reply.question))
    return Example("no_function", replace(base, items=items), turn)


def _call_turn(effort: Effort, call: functions.Request, preamble: bool) -> PlainTurn:
    name, subject = call.tool.name, call.subject
    thought = think(
        effort, f"I call {name} for {subject}.", f"The function {name} is declared. It can help."
    )
    said = (Preamble(f"I will call {name} for {subject}."),) if preamble else ()
    return (*thought, *said, FunctionCall(name, call.arguments))


def call_example(rng: random.Random) -> Example:
    """A call with arguments out of the question, with or without words before it."""
    base = setting(rng)
    preamble = rng.random() < 0.25
    asked, tools = functions.declare(rng)
    call = functions.request(rng, asked, preamble=preamble)
    items = (*_earlier_calls(rng, asked), UserText(call.question))
    base = replace(base, tools=tools, items=items)
    if call.known:
        turn = _call_turn(base.effort, call, preamble)
    else:
        more = "I am a smoke-test model. I say so."
        turn = (*think(base.effort, "I do not know that.", more), FinalText(UNKNOWN_PLACE))
    family = ("preamble" if preamble else "call") if call.known else "unknown_place"
    return Example(family, base, turn)


def result_example(rng: random.Random) -> Example:
    """The answer after the function's, in its words."""
    base = setting(rng)
    preamble = rng.random() < 0.2
    asked, tools = functions.declare(rng)
    call = functions.request(rng, asked, preamble=preamble, known=True)
    result, known = functions.result(rng, call)
    called = _call_turn(rng.choice(list(Effort)), call, preamble)
    if rng.random() < 0.3:
        called = tuple(item for item in called if not isinstance(item, Reasoning))
    items = (
        *_earlier_calls(rng, asked),
        UserText(call.question),
        *called,
        FunctionResult(call.tool.name, result),
    )
    thought = think(base.effort, "The function answered.", f"I say what {call.tool.name} said.")
    final = call.prefix + result if known else UNKNOWN_RESULT
    return Example(
        "result",
        replace(base, tools=tools, items=items),
        (*thought, FinalText(final)),
        verbatim=rng.random() < 0.6,
        final_prefix=call.prefix if known else "",
    )


def two_calls_example(rng: random.Random) -> Example:
    """Two places in one question: a call, its result, another call."""
    base = setting(rng)
    tools, first, second, question = functions.two_requests(rng)
    items: list[Item] = [*_earlier(rng), UserText(question)]
    if rng.random() < 0.4:
        turn = _call_turn(base.effort, first, False)
        return Example("two_calls", replace(base, tools=tools, items=tuple(items)), turn)
    result, _ = functions.result(rng, first, known=True)
    items += [*_call_turn(base.effort, first, False), FunctionResult(first.tool.name, result)]
    turn = _call_turn(base.effort, second, False)
    conversation = replace(base, tools=tools, items=tuple(items))
    return Example("two_calls", conversation, turn, verbatim=rng.random() < 0.4)


def json_example(rng: random.Random) -> Example:
    """A final in JSON for a response format."""
    base = setting(rng)
    question, schema, name, value = formats.response_format(rng)
    fmt = ResponseFormat(name, schema, rng.choice([None, None, "A person.", "The answer."]))
    items = (*_earlier(rng), UserText(question))
    thought = think(base.effort, "I answer in JSON.", "I fill in the properties of the schema.")
    final = FinalText(json.dumps(value, separators=(",", ":")))
    conversation = replace(base, items=items, response_format=fmt)
    return Example("json", conversation, (*thought, final))


TEMPLATES: tuple[tuple[float, Callable[[random.Random], Example]], ...] = (
    (46, simple_example),
    (5, recall_example),
    (4, no_function_example),
    (26, call_example),
    (24, result_example),
    (2, two_calls_example),
    (17, json_example),
    *AGENT_TEMPLATES,
    *HOSTED_TEMPLATES,
)


def sample(rng: random.Random) -> Example:
    """One example of a random template."""
    template = rng.choices([t for _, t in TEMPLATES], [w for w, _ in TEMPLATES])[0]
    return template(rng)
