"""Random conversations of hostile texts, and random schemas of which nothing gets lost."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from mlxoss.core import Effort
from mlxoss.harmony.conversation import (
    Conversation,
    DeveloperText,
    FinalText,
    FunctionCall,
    FunctionResult,
    FunctionTool,
    Item,
    Preamble,
    Reasoning,
    UserText,
)
from tests.support.harmony.conversations import DATE

_PIECES = [
    *["the", "weather", "Bergen", "天気", "погода", "🌦️", "👩‍👩‍👧", "é", "½", "\u200d", "\u202e"],
    *["1234567", "3.14", "def", "f():", "//"],
    *['{"a": 1}', "", " ", "   ", "\n", "\r\n", "\t", "\n\n", "\x00", "\x1f", "\u2028", "*/", "\\"],
    *["<|start|>", "<|end|>", "<|message|>", "<|channel|>final", "<|return|>", "<|call|>"],
    *["<|constrain|>json", "<|endoftext|>", "<|reserved_200013|>", "<|end", "|>"],
]  # fmt: skip
_WORDS = [
    "The",
    "city",
    "e.g. Bergen,",
    "ø",
    "天気",
    "🌦️",
    "//",
    "*/",
    '"so"',
    "}) => any;",
    "<|end|>",
]
_NAMES = ["city", "unit", "count", "été", "$x", "_y", "filter", "type"]
_SCALARS = ["string", "number", "integer", "boolean"]


def random_conversation(rng: random.Random) -> Conversation:
    """Turns with and without calls and finals, the last one open as often as not."""
    tools = [_tool(rng, f"f_{index}") for index in range(rng.randint(0, 3))]
    names = [tool.name for tool in tools] or ["gone"]
    items = [item for _ in range(rng.randint(1, 4)) for item in _turn(rng, names)]
    return Conversation(
        items=tuple(items),
        date=DATE,
        instructions=_text(rng) if rng.random() < 0.6 else None,
        tools=tuple(tools),
        effort=rng.choice(list(Effort)),
    )


def _tool(rng: random.Random, name: str) -> FunctionTool:
    description = " ".join(rng.choices(_WORDS, k=4)) if rng.random() < 0.8 else None
    return FunctionTool(name, description, random_parameters(rng) if rng.random() < 0.8 else None)


def _turn(rng: random.Random, names: list[str]) -> Iterator[Item]:
    yield UserText(_text(rng), rng.choice([None, None, None, "ada"]))
    for _ in range(rng.choice([0, 0, 1, 2])):
        if rng.random() < 0.7:
            yield Reasoning(_text(rng))
        if rng.random() < 0.3:
            yield Preamble(_text(rng))
        called = rng.choices(names, k=rng.choice([1, 1, 2]))
        for name in called:
            yield FunctionCall(name, rng.choice(["{}", _text(rng)]), rng.random() < 0.3)
        for name in called:
            yield FunctionResult(name, _text(rng))
    if rng.random() < 0.7:
        if rng.random() < 0.6:
            yield Reasoning(_text(rng))
        yield FinalText(_text(rng))
    if rng.random() < 0.15:
        late = [_tool(rng, f"late_{i}") for i in range(rng.choice([0, 0, 1, 2]))]
        yield DeveloperText(_text(rng), tuple(late))


def _text(rng: random.Random) -> str:
    """Never empty: the library leaves out a message without any text."""
    pieces = rng.choices(_PIECES, k=rng.randint(1, 14))
    return "x" + "".join(piece + rng.choice(["", " "]) for piece in pieces)


def random_parameters(rng: random.Random) -> dict[str, Any]:
    """Arguments of a function, of what the library and we render alike."""
    return _object(rng, 3, least=1)


def _object(rng: random.Random, depth: int, least: int = 0) -> dict[str, Any]:
    names = rng.sample(_NAMES, rng.randint(least, 4))
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {name: _property(rng, depth - 1) for name in names},
    }
    if rng.random() < 0.8:
        schema["required"] = [name for name in names if rng.random() < 0.5]
    if rng.random() < 0.3:
        schema["additionalProperties"] = False
    return schema


def _property(rng: random.Random, depth: int) -> dict[str, Any]:
    schema = _type(rng, depth)
    if rng.random() < 0.4 and schema.get("type") != "object":
        schema["description"] = " ".join(rng.choices(_WORDS, k=rng.randint(1, 4)))
    if rng.random() < 0.15:
        schema["title"] = " ".join(rng.choices(_WORDS, k=2))
    if rng.random() < 0.2:
        schema["default"] = rng.choice(["a", "x y", 1, 2.5, True, None, [], {"k": 1}, ["a", 1]])
    if rng.random() < 0.1 and "oneOf" not in schema:
        schema["examples"] = ["x", "y z"]
    if rng.random() < 0.1:
        schema |= rng.choice([{"minimum": 1}, {"pattern": "^a"}, {"format": "date"}])
    return schema


def _type(rng: random.Random, depth: int) -> dict[str, Any]:
    kinds = [*_SCALARS, "enum", "nullable", "types", "any", "array", "oneOf"]
    match rng.choice([*kinds, "object", "objects"] if depth > 0 else kinds):
        case "enum":
            return {"type": "string", "enum": rng.sample(["a", "b b", "ø", "c//d"], 2)}
        case "nullable":
            return {"type": "string", "nullable": rng.random() < 0.5}
        case "types":
            return {"type": [rng.choice(_SCALARS), "null"]}
        case "any":
            return {}
        case "array":
            return {"type": "array", "items": {"type": rng.choice(_SCALARS)}}
        case "objects":
            return {"type": "array", "items": _object(rng, depth - 1)}
        case "oneOf":
            return {"oneOf": [{"type": rng.choice(_SCALARS)}, {"type": "string", "enum": ["a"]}]}
        case "object":
            return _object(rng, depth - 1)
        case scalar:
            return {"type": scalar}
