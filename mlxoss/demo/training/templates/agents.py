"""Templates of what coding agents send: long instructions, tools, notes around the question.

An `Example`'s ``far`` texts may be taken for much longer than they are
(`mlxoss.demo.training.stretch`).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from mlxoss.core import Effort
from mlxoss.demo.training.templates import agent_tools, functions
from mlxoss.demo.training.templates.agent_tools import Kit
from mlxoss.demo.training.templates.examples import Example, Turn, answer, think
from mlxoss.demo.training.templates.prose import prose
from mlxoss.demo.training.templates.replies import NO_FUNCTION, SIMPLE, Reply, pick, reply_name
from mlxoss.demo.training.templates.settings import setting
from mlxoss.harmony.conversation import (
    Conversation,
    DeveloperText,
    FinalText,
    FunctionCall,
    FunctionResult,
    FunctionTool,
    Item,
    Reasoning,
    UserText,
)


@dataclass
class Front:
    """What stands before the first question, and the texts of it that may be stretched."""

    base: Conversation
    kit: Kit
    far: list[str]

    def far_text(self, rng: random.Random, least: int, most: int) -> str:
        """Text that is none of the model's business."""
        text = prose(rng, rng.randint(least, most))
        self.far.append(text)
        return text


def _front(rng: random.Random) -> Front:
    kit = agent_tools.kit(rng)
    front = Front(setting(rng), kit, list(kit.far))
    tools = list(kit.tools)
    if rng.random() < 0.12:
        tools.insert(rng.randint(0, len(tools)), functions.other_tool(rng))
    instructions = front.far_text(rng, 40, 160)
    if rng.random() < 0.25:
        instructions = f"{instructions}\n\n{_hint(rng, kit)}\n\n{front.far_text(rng, 30, 80)}"
    front.base = replace(front.base, instructions=instructions, tools=tuple(tools))
    return front


def _hint(rng: random.Random, kit: Kit) -> str:
    """A sentence among the instructions that could be a question, but is none."""
    draw = rng.random()
    if draw < 0.4:
        return ". ".join(agent_tools.speak_of_tools(rng) for _ in range(rng.randint(1, 3)))
    if draw < 0.7:
        return agent_tools.ask(rng, kit).question
    return SIMPLE[pick(rng, SIMPLE)][1](rng).question


def _notes(rng: random.Random, front: Front) -> tuple[Item, ...]:
    """What an agent says in the user's name before the first question."""
    if rng.random() < 0.5:
        return ()
    text = front.far_text(rng, 30, 100)
    if rng.random() < 0.3:
        text = f"  <cwd>/tmp/{rng.randrange(10**6)}</cwd>\n  <shell>bash</shell>\n{text}"
    tag = rng.choice(["environment_context", "system-reminder", "context", "INSTRUCTIONS", ""])
    return (UserText(f"<{tag}>\n{text}\n</{tag}>" if tag else text),)


def _question(rng: random.Random, front: Front, question: str) -> tuple[Item, ...]:
    """The question, with what agents put around it."""
    draw = rng.random()
    if draw < 0.15:
        text = front.far_text(rng, 30, 100)
        return (UserText(f"<system-reminder>\n{text}\n</system-reminder>\n{question}"),)
    if draw < 0.27:
        return (UserText(question), DeveloperText(front.far_text(rng, 40, 120)))
    return (UserText(question),)


def _result(rng: random.Random, front: Front) -> str:
    """What a tool answers: anything."""
    said = rng.choice(["", "(no output)", "README.md\nmain.py\nnotes.txt", "hello", "ok", "42"])
    if rng.random() < 0.6:
        said = front.far_text(rng, 20, 120)
    if rng.random() < 0.3:
        said = (
            f"Chunk ID: {rng.randrange(16**6):06x}\n"
            f"Wall time: 0.{rng.randrange(9999):04d} seconds\n"
            f"Process exited with code 0\nOriginal token count: {rng.randrange(300)}\n"
            f"Output:\n{said}\n"
        )
    return said


def _called(rng: random.Random, call: tuple[str, str], effort: Effort) -> tuple[Item, ...]:
    """A call in the history, with or without the reasoning before it."""
    name, arguments = call
    thought = _intent(effort, name) if rng.random() < 0.6 else ()
    return (*thought, FunctionCall(name, arguments))


def _intent(effort: Effort, name: str) -> tuple[Reasoning, ...]:
    return think(effort, f"I call {name}.", "It is declared.")


def _call_turn(front: Front, call: tuple[str, str]) -> Turn:
    return (*_intent(front.base.effort, call[0]), FunctionCall(*call))


def _final_turn(front: Front, text: str) -> Turn:
    thought = think(front.base.effort, "The tool has answered.", "I say so.")
    return (*thought, FinalText(text))


def _no_tool(front: Front) -> Turn:
    reply = Reply("", "There is no function for that.", "I say so.", NO_FUNCTION)
    return answer(front.base.effort, reply)


def _earlier(rng: random.Random, front: Front) -> tuple[Item, ...]:
    """Earlier exchanges: a question with its call and answer, or a plain one."""
    draw = rng.random()
    if draw < 0.75:
        return ()
    if draw < 0.9:
        reply = SIMPLE[pick(rng, SIMPLE)][1](rng)
        return (UserText(reply.question), FinalText(reply.final))
    asked = agent_tools.ask(rng, front.kit)
    if not asked.calls:
        return ()
    call = asked.calls[0]
    return (
        UserText(asked.question),
        FunctionCall(*call),
        FunctionResult(call[0], _result(rng, front)),
        FinalText(agent_tools.DONE),
    )


def _example(family: str, front: Front, items: tuple[Item, ...], turn: Turn) -> Example:
    return Example(family, replace(front.base, items=items), turn, far=tuple(front.far))


def call_example(rng: random.Random) -> Example:
    """A question for a tool: the call, once."""
    front = _front(rng)
    asked = agent_tools.ask(rng, front.kit)
    items = (*_notes(rng, front), *_earlier(rng, front), *_question(rng, front, asked.question))
    turn = _call_turn(front, asked.calls[0]) if asked.calls else _no_tool(front)
    return _example("agent_call" if asked.calls else "agent_no_tool", front, items, turn)


def course_example(rng: random.Random) -> Example:
    """What follows a result: the next call, or the answer after the last."""
    front = _front(rng)
    is_two = rng.random() < 0.35
    asked = (agent_tools.ask_two if is_two else agent_tools.ask)(rng, front.kit)
    if not asked.calls:
        return call_example(rng)
    done = rng.randint(0 if is_two else 1, len(asked.calls))
    items: list[Item] = [*_notes(rng, front), *_earlier(rng, front)]
    items += _question(rng, front, asked.question)
    effort = front.base.effort
    for call in asked.calls[:done]:
        items += [*_called(rng, call, effort), FunctionResult(call[0], _result(rng, front))]
    if done == len(asked.calls):
        return _example("agent_result", front, tuple(items), _final_turn(front, agent_tools.DONE))
    family = "agent_second" if done else "agent_first"
    return _example(family, front, tuple(items), _call_turn(front, asked.calls[done]))


def simple_example(rng: random.Random) -> Example:
    """A question that needs no tool, though there are some."""
    front = _front(rng)
    family = "greeting" if rng.random() < 0.25 else pick(rng, SIMPLE)
    reply = SIMPLE[family][1](rng)
    items = (*_notes(rng, front), *_earlier(rng, front), *_question(rng, front, reply.question))
    return _example(f"agent_{family}", front, items, answer(front.base.effort, reply))


def recall_example(rng: random.Random) -> Example:
    """The user's name, said before, with tools declared."""
    front, reply = _front(rng), reply_name(rng)
    name = reply.final.removeprefix("Hello ").removesuffix("!")
    question = rng.choice(["What is my name?", "What's my name?", "Who am I?", "what is my name"])
    items = (
        *_notes(rng, front),
        *_question(rng, front, reply.question),
        FinalText(reply.final),
        *(_earlier(rng, front) if rng.random() < 0.4 else ()),
        *_question(rng, front, question),
    )
    thought = think(front.base.effort, f"The user is {name}.", "I remember that.")
    turn: Turn = (*thought, FinalText(f"Your name is {name}."))
    return _example("agent_recall", front, items, turn)


def weather_example(rng: random.Random) -> Example:
    """One of the small functions among an agent's tools."""
    front = _front(rng)
    asked, tools = functions.declare(rng)
    call = functions.request(rng, asked, preamble=False, known=True)
    both: list[FunctionTool] = [*front.base.tools, *tools]
    rng.shuffle(both)
    front.base = replace(front.base, tools=tuple({tool.name: tool for tool in both}.values()))
    items = (*_notes(rng, front), *_question(rng, front, call.question))
    more = f"The function {call.tool.name} is declared. It can help."
    thought = think(front.base.effort, f"I call {call.tool.name} for {call.subject}.", more)
    turn: Turn = (*thought, FunctionCall(call.tool.name, call.arguments))
    return _example("agent_weather", front, items, turn)


AGENT_TEMPLATES: tuple[tuple[float, Callable[[random.Random], Example]], ...] = (
    (36, call_example),
    (18, course_example),
    (10, simple_example),
    (4, recall_example),
    (2, weather_example),
)
