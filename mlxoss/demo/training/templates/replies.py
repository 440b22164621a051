"""Questions that are answered at once, and what to answer."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from mlxoss.demo.training.templates import functions
from mlxoss.demo.training.templates.words import (
    CITIES,
    ECHO_WORDS,
    NAMES,
    NUMBER_LIMIT,
    OTHER_WORDS,
)

ABOUT = (
    "I am mlxoss-demo, a small smoke-test model. For the real model, start mlxoss with "
    "--model mlx-community/gpt-oss-20b-MXFP4-Q8."
)
ABILITIES = (
    "I can greet you, add small numbers, count, repeat words, call a function such as "
    "get_weather and answer in JSON. I am only a smoke-test model."
)
DECLINE = (
    "I am only a smoke-test model and cannot answer that. For a real answer, start mlxoss with "
    "--model mlx-community/gpt-oss-20b-MXFP4-Q8."
)
NO_FUNCTION = "I have no function for that. I am only a smoke-test model."


@dataclass(frozen=True)
class Reply:
    """What to say to one user text: short reasoning, what high effort adds, the final."""

    question: str
    thought: str
    more: str
    final: str


def noise(rng: random.Random, words: int) -> str:
    """Words of which the model knows few: half of them made up."""
    out = []
    for _ in range(words):
        if rng.random() < 0.6:
            out.append(rng.choice(OTHER_WORDS))
        elif rng.random() < 0.3:
            out.append(rng.choice([*CITIES, *NAMES, *ECHO_WORDS, "weather", "the", "a", "in"]))
        else:
            letters = rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 9))
            out.append("".join(letters))
    return " ".join(out)


def _number(rng: random.Random) -> int:
    return rng.randint(0, NUMBER_LIMIT)


def reply_greeting(rng: random.Random) -> Reply:
    """A greeting, answered with one."""
    word = rng.choice(["Hello", "Hi", "Hey", "Good morning", "Good evening", "hello", "hi", "hey"])
    question = word + rng.choice(["", "!", ".", " there", " there!", ", how are you?", " model!"])
    return Reply(
        question,
        "The user greets me.",
        "I greet back and offer help.",
        "Hello! How can I help you?",
    )


def reply_thanks(rng: random.Random) -> Reply:
    """Thanks or a goodbye."""
    if rng.random() < 0.5:
        question = rng.choice(["Thanks", "Thank you", "thanks", "Thank you very much"])
        final = "You are welcome!"
    else:
        question, final = rng.choice(["Bye", "Goodbye", "See you", "bye"]), "Goodbye!"
    return Reply(question + rng.choice(["", "!", "."]), "The user is polite.", "So am I.", final)


def reply_about(rng: random.Random) -> Reply:
    """Who the model is."""
    question = rng.choice(
        [
            "Who are you", "What are you", "Which model are you", "What model is this",
            "Are you gpt-oss", "Are you a real model", "What is mlxoss-demo", "who are you",
            "Tell me about yourself", "Introduce yourself", "What is your model",
        ]
    )  # fmt: skip
    return Reply(
        question + rng.choice(["?", "", "?"]),
        "The user asks who I am.",
        "I am mlxoss-demo. I say that I am small.",
        ABOUT,
    )


def reply_abilities(rng: random.Random) -> Reply:
    """What the model can do."""
    question = rng.choice(
        [
            "What can you do", "what can you do", "What can I ask you", "How can you help me",
            "Help", "What do you know", "What are your abilities",
        ]
    )  # fmt: skip
    return Reply(
        question + rng.choice(["?", "", "?"]),
        "The user asks what I can do.",
        "I list it. I say that I am small.",
        ABILITIES,
    )


def reply_sum(rng: random.Random) -> Reply:
    """A sum of two small numbers."""
    a, b = _number(rng), _number(rng)
    op = rng.choice(["{a} + {b}"] * 3 + ["{a} plus {b}", "{a}+{b}"]).format(a=a, b=b)
    question = rng.choice(
        [
            "What is {0}?", "What's {0}?", "{0}", "{0} = ?", "Calculate {0}.", "Add {1} and {2}.",
            "How much is {0}?", "Please add {1} and {2}.", "what is {0}", "What is {0}",
            "What is the sum of {1} and {2}?",
        ]
    ).format(op, a, b)  # fmt: skip
    total = f"{a} + {b} = {a + b}."
    return Reply(question, total, f"I add {a} and {b}. The sum is {a + b}.", total)


def reply_echo(rng: random.Random) -> Reply:
    """Words to repeat."""
    words = " ".join(rng.choices(ECHO_WORDS, k=rng.randint(1, 8)))
    question = rng.choice(
        ["Repeat: {0}", "Say: {0}", "Repeat after me: {0}", "Echo: {0}", "Say {0}", "Repeat {0}",
         "say {0}", "say {0}", "Say {0}.", "repeat {0}",
         "Reply with: {0}", "Please say: {0}", "Please repeat: {0}", "Answer with: {0}"]
    ).format(words)  # fmt: skip
    return Reply(question, "The user wants an echo.", "I repeat the words.", words)


def reply_count(rng: random.Random) -> Reply:
    """Counting from one."""
    last = rng.randint(2, 40)
    question = rng.choice(
        ["Count to {0}.", "Count from 1 to {0}.", "Count to {0}", "Please count to {0}.",
         "Count from 1 to {0}", "count to {0}"]
    ).format(last)  # fmt: skip
    final = ", ".join(str(i) for i in range(1, last + 1))
    return Reply(question, f"I count to {last}.", "I start with 1.", final)


def reply_name(rng: random.Random) -> Reply:
    """Someone says their name."""
    name = rng.choice(NAMES)
    question = rng.choice(
        ["My name is {0}.", "I am {0}.", "Hello, my name is {0}.", "Hi, I am {0}!", "I'm {0}."]
    ).format(name)
    return Reply(question, f"The user is {name}.", "I greet back.", f"Hello {name}!")


def reply_no_function(rng: random.Random) -> Reply:
    """Something that needs a function which is not declared."""
    question = functions.ask_weather(rng, rng.choice(CITIES), None)
    if rng.random() < 0.3:
        question = functions.ask_time(rng, rng.choice(CITIES))
    return Reply(question, "There is no function for that.", "I say so.", NO_FUNCTION)


def reply_unknown(rng: random.Random) -> Reply:
    """Anything else."""
    start = rng.choice(
        ["Write a {0}", "Write a poem about {0}", "Explain {0}", "Tell me {0}", "Tell me a {0}",
         "What is {0}", "Why {0}", "How do I {0}", "{0}", "{0}", "{0}", "Can you {0}",
         "Translate {0}", "Please {0}", "Who is {0}", "What is the {0}", "Give me {0}"]
    )  # fmt: skip
    question = start.format(noise(rng, rng.choice([1, 2, 3, 4, 6, 9, 14])))
    return Reply(
        question + rng.choice(["", ".", "?", "!"]),
        "I do not know that.",
        "I am a smoke-test model. I say so.",
        DECLINE,
    )


SIMPLE: dict[str, tuple[float, Callable[[random.Random], Reply]]] = {
    "greeting": (4, reply_greeting),
    "thanks": (2, reply_thanks),
    "about": (4, reply_about),
    "abilities": (4, reply_abilities),
    "sum": (14, reply_sum),
    "echo": (11, reply_echo),
    "count": (3, reply_count),
    "name": (3, reply_name),
    "unknown": (11, reply_unknown),
}


def pick(rng: random.Random, table: dict[str, tuple[float, Callable[..., Reply]]]) -> str:
    """One of ``table``'s names by weight."""
    return rng.choices(list(table), [weight for weight, _ in table.values()])[0]
