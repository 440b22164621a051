"""Functions to declare, questions for them and what they answer, with sampled slots."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace

from mlxoss.core import JsonMapping, JsonObject
from mlxoss.demo.training.templates.words import (
    CITIES,
    CONDITIONS,
    NAMES,
    NUMBER_LIMIT,
    OTHER_WORDS,
)
from mlxoss.harmony.conversation import FunctionTool


def _words(text: str) -> list[str]:
    return text.split()


WEATHER_NAMES = _words(
    "get_weather get_weather get_weather get_current_weather weather get_forecast check_weather "
    "lookup_weather fetch_weather"
)
TIME_NAMES = _words("get_time get_time get_current_time current_time time")
ADD_NAMES = _words("add add sum add_numbers")
PLACE_ARGUMENTS = _words("city city location location place town")


@dataclass(frozen=True)
class Declared:
    """A function as declared; ``kind`` is weather, time or add."""

    kind: str
    tool: FunctionTool
    arguments: tuple[str, ...]


@dataclass(frozen=True)
class Request:
    """A question, the call that answers it and how the answer will begin.

    ``known`` is false when the place has no ids of its own and cannot be copied.
    """

    question: str
    tool: FunctionTool
    subject: str
    arguments: str
    prefix: str
    known: bool = True


def ask_weather(rng: random.Random, city: str, unit: str | None) -> str:
    """A question for the weather in ``city``."""
    question = rng.choice(
        ["What is the weather in {0}", "What's the weather in {0}", "How is the weather in {0}",
         "Weather in {0}", "what is the weather in {0}", "What is the weather like in {0}",
         "What's the weather like in {0}", "Tell me the weather in {0}",
         "Check the weather in {0}", "How warm is it in {0}", "Is it cold in {0}",
         "Get the weather for {0}", "Use the function to get the weather in {0}",
         "Please check the weather in {0}", "What is the temperature in {0}"]
    ).format(city)  # fmt: skip
    if unit is not None:
        question += f" in {unit}"
    elif rng.random() < 0.25:
        question += rng.choice([" today", " right now", " now", " please"])
    return question + rng.choice(["?", "?", ".", ""])


def ask_time(rng: random.Random, city: str) -> str:
    """A question for the time in ``city``."""
    question = rng.choice(
        ["What is the time in {0}", "What time is it in {0}", "Time in {0}",
         "what time is it in {0}", "Tell me the time in {0}", "Check the time in {0}",
         "Get the time for {0}"]
    ).format(city)  # fmt: skip
    return question + rng.choice(["?", "?", ".", ""])


def _description(rng: random.Random, texts: list[str]) -> str | None:
    if rng.random() < 0.25:
        return None
    return rng.choice([*texts, " ".join(rng.choices(OTHER_WORDS, k=rng.randint(2, 8)))])


def _schema(
    rng: random.Random, properties: Mapping[str, JsonMapping], required: list[str]
) -> JsonMapping:
    """The schema, one in four with titles, as pydantic writes them for the Agents SDK."""
    if rng.random() < 0.25:
        properties = {
            name: {**kind, "title": name.replace("_", " ").title()}
            for name, kind in properties.items()
        }
    schema: JsonObject = {"type": "object", "properties": dict(properties)}
    if rng.random() < 0.85:
        schema["required"] = required
    if rng.random() < 0.4:
        schema["additionalProperties"] = False
    return schema


def _place_tool(rng: random.Random, kind: str) -> Declared:
    name = rng.choice(WEATHER_NAMES if kind == "weather" else TIME_NAMES)
    place = rng.choice(PLACE_ARGUMENTS)
    field: JsonObject = {"type": "string"}
    text = _description(rng, ["The city", "The city name", "City name", "Name of the city"])
    if rng.random() < 0.5 and text:
        field["description"] = text
    properties: dict[str, JsonMapping] = {place: field}
    arguments = [place]
    if kind == "weather" and rng.random() < 0.3:
        unit = rng.choice(["unit", "unit", "units"])
        properties[unit] = {"type": "string", "enum": ["celsius", "fahrenheit"]}
        arguments.append(unit)
    required = arguments if rng.random() < 0.5 else [place]
    texts = {
        "weather": ["Get the weather", "Get the current weather", "Get the weather for a city",
                    "Returns the weather", "Get weather", "The weather in a city",
                    "Get the current weather in a given location", "Look up the weather.",
                    "Get the weather in a city."],
        "time": ["Get the time", "Get the current time", "The time in a city",
                 "Get the time in a city."],
    }[kind]  # fmt: skip
    tool = FunctionTool(name, _description(rng, texts), _schema(rng, properties, required))
    return Declared(kind, tool, tuple(arguments))


def _add_tool(rng: random.Random) -> Declared:
    names = rng.choice([("a", "b"), ("a", "b"), ("x", "y")])
    kind = rng.choice(["number", "integer"])
    properties: dict[str, JsonMapping] = {name: {"type": kind} for name in names}
    description = _description(rng, ["Add two numbers", "Adds two numbers.", "Add numbers"])
    tool = FunctionTool(rng.choice(ADD_NAMES), description, _schema(rng, properties, list(names)))
    return Declared("add", tool, names)


def other_tool(rng: random.Random) -> FunctionTool:
    """A function that no question is about."""
    name = rng.choice(["search", "send_email", "get_stock_price", "lookup", "run", "open_file"])
    argument = rng.choice(["query", "text", "path", "symbol", "to", "input"])
    schema = _schema(rng, {argument: {"type": "string"}}, [argument])
    return FunctionTool(name, _description(rng, ["Search", "Send an email"]), schema)


def some_tools(rng: random.Random, *, add: bool = True) -> list[Declared]:
    """One to three declared functions, no two of a kind."""
    kinds = ["weather", "time", "add"] if add else ["weather", "time"]
    chosen = rng.sample(kinds, rng.choices(range(1, len(kinds) + 1), [6, 3, 1][: len(kinds)])[0])
    return [_add_tool(rng) if kind == "add" else _place_tool(rng, kind) for kind in chosen]


def _place_request(rng: random.Random, declared: Declared, city: str) -> Request:
    unit = None
    values = {declared.arguments[0]: city}
    if len(declared.arguments) > 1:
        unit = rng.choice([None, "celsius", "fahrenheit"])
        values[declared.arguments[1]] = unit or "celsius"
    if declared.kind == "weather":
        question, prefix = ask_weather(rng, city, unit), f"The weather in {city}: "
    else:
        question, prefix = ask_time(rng, city), f"The time in {city}: "
    return Request(question, declared.tool, city, _compact(values), prefix)


def _add_request(rng: random.Random, declared: Declared) -> Request:
    a, b = rng.randint(0, 2 * NUMBER_LIMIT), rng.randint(0, 2 * NUMBER_LIMIT)
    question = rng.choice(
        ["What is {0} + {1}?", "Add {0} and {1}.", "What is {0} plus {1}?", "{0} + {1}",
         "Use the function to add {0} and {1}.", "What's {0} + {1}?"]
    ).format(a, b)  # fmt: skip
    values = dict(zip(declared.arguments, (a, b), strict=True))
    return Request(question, declared.tool, f"{a} and {b}", _compact(values), "The answer: ")


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _with_preamble(rng: random.Random, question: str) -> str:
    lowered = question[0].lower() + question[1:]
    return rng.choice(
        ["Explain what you do, then {0}", "First explain what you do, then {0}",
         "Say what you do first. {1}", "Tell me what you are going to do, then {0}",
         "Explain what you do. {1}", "Think aloud, then {0}"]
    ).format(lowered, question)  # fmt: skip


def declare(rng: random.Random) -> tuple[list[Declared], tuple[FunctionTool, ...]]:
    """Functions to ask for, and all that are declared."""
    asked = some_tools(rng)
    tools = [t.tool for t in asked]
    if rng.random() < 0.2:
        tools.insert(rng.randint(0, len(tools)), other_tool(rng))
    return asked, tuple(tools)


def request(
    rng: random.Random, tools: list[Declared], *, preamble: bool, known: bool = False
) -> Request:
    """A question for one of ``tools``; rarely for an unknown place."""
    chosen = rng.choices(tools, [1 if t.kind == "add" else 3 for t in tools])[0]
    if chosen.kind == "add":
        made = _add_request(rng, chosen)
    elif not known and rng.random() < 0.06:
        letters = "".join(rng.choices("bcdfghjklmnpqrstvwxyzaeiou", k=rng.randint(4, 8)))
        made = replace(_place_request(rng, chosen, letters.capitalize()), known=False)
    else:
        made = _place_request(rng, chosen, rng.choice(CITIES))
    if preamble:
        made = replace(made, question=_with_preamble(rng, made.question))
    return made


def two_requests(
    rng: random.Random,
) -> tuple[tuple[FunctionTool, ...], Request, Request, str]:
    """A function and a question that needs it for two places."""
    declared = replace(_place_tool(rng, "weather"))
    cities = rng.sample(CITIES, 2)
    first, second = (_place_request(rng, declared, city) for city in cities)
    if len(declared.arguments) > 1:
        names = declared.arguments
        first = replace(first, arguments=_compact({names[0]: cities[0], names[1]: "celsius"}))
        second = replace(second, arguments=_compact({names[0]: cities[1], names[1]: "celsius"}))
    question = rng.choice(
        ["What is the weather in {0} and {1}?", "Check the weather in {0} and in {1}.",
         "What's the weather in {0} and in {1}?", "Weather in {0} and {1}"]
    ).format(*cities)  # fmt: skip
    return (declared.tool,), first, second, question


def _weather_result(rng: random.Random, city: str) -> str:
    degrees, word = rng.randint(-9, 40), rng.choice(CONDITIONS)
    unit = rng.choice(["°C", " C", " degrees", "°", "°F", " degrees Celsius"])
    values: JsonObject = {
        rng.choice(["temperature", "temperature", "temp", "temp_c", "degrees"]): degrees,
        rng.choice(["condition", "conditions", "weather", "description", "sky"]): word,
        "unit": rng.choice(["celsius", "fahrenheit", "C", "F"]),
        rng.choice(["city", "location"]): city,
        "humidity": rng.randint(0, 40),
    }
    keys = rng.sample(list(values), rng.randint(1, 3))
    picked = {key: values[key] for key in keys}
    return rng.choice(
        [
            json.dumps(picked), json.dumps(picked), _compact(picked),
            f"{degrees}{unit} and {word}", f"{degrees}{unit}, {word}", f"{word}, {degrees}{unit}",
            f"{word} and {rng.choice(CONDITIONS)}", f"{degrees}{unit}", f"{degrees}", word,
            f"It is {word} and {degrees}{unit} in {city}.", f"It is {word}.",
            f"{word.capitalize()}, {degrees}{unit}", f"{word} in {city}: {degrees}{unit}",
            f"The weather in {city} is {word}.",
        ]
    )  # fmt: skip


def _time_result(rng: random.Random) -> str:
    hour, minute = rng.randint(0, 23), rng.randint(0, 59)
    clock = f"{hour:02d}:{minute:02d}"
    return rng.choice([clock, clock, json.dumps({"time": clock}), _compact({"time": clock})])


def _any_result(rng: random.Random) -> str:
    words = [
        *CONDITIONS,
        *NAMES,
        *CITIES,
        "1",
        "2",
        "3",
        "10",
        "20",
        "30",
        "and",
        "is",
        "the",
        "in",
    ]
    return " ".join(rng.choices(words, k=rng.randint(1, 9)))


def result(rng: random.Random, call: Request, known: bool = False) -> tuple[str, bool]:
    """What the function answers, and whether the model knows all its words."""
    draw = rng.random()
    if draw < 0.06 and not known:
        return " ".join(rng.choices(OTHER_WORDS, k=rng.randint(3, 12))), False
    if draw < 0.25:
        return _any_result(rng), True
    if call.prefix.startswith("The weather"):
        return _weather_result(rng, call.subject), True
    if call.prefix.startswith("The time"):
        return _time_result(rng), True
    return rng.choice(["{0}", '{{"result": {0}}}', '{{"sum":{0}}}']).format(
        rng.randint(0, 80)
    ), True
