"""Response formats with a question and the JSON that answers it."""

from __future__ import annotations

import random

from mlxoss.core import JsonMapping, JsonObject
from mlxoss.demo.training.templates.words import CITIES, NAMES, NUMBER_LIMIT, OTHER_WORDS


def response_format(
    rng: random.Random,
) -> tuple[str, JsonMapping, str, JsonMapping]:
    """A question, a schema, its name and the value that answers."""
    kind = rng.choices(["person", "weather", "sum", "unknown"], [4, 4, 3, 1])[0]
    name, city, number = rng.choice(NAMES), rng.choice(CITIES), rng.randint(1, 40)
    if kind == "person":
        values: JsonObject = {"name": name, "age": number}
        question = rng.choice(
            ["{0} is {1} years old.", "{0} is {1}.", "I am {0} and {1} years old.",
             "My name is {0} and I am {1} years old.", "The person: {0}, {1} years old."]
        ).format(name, number)  # fmt: skip
        if rng.random() < 0.3:
            question = f"{name} is {number} years old and lives in {city}."
            values["city"] = city
        title = rng.choice(["person", "Person", "user"])
    elif kind == "weather":
        values = {"city": city, "temperature": number}
        question = rng.choice(
            ["It is {1} degrees in {0}.", "In {0} it is {1} degrees.", "{0}: {1} degrees",
             "The temperature in {0} is {1} degrees.", "{0} has {1} degrees."]
        ).format(city, number)  # fmt: skip
        title = rng.choice(["weather", "Weather", "report"])
    elif kind == "sum":
        a, b = rng.randint(0, NUMBER_LIMIT), rng.randint(0, NUMBER_LIMIT)
        values = {rng.choice(["answer", "result", "sum"]): a + b}
        question = rng.choice(["What is {0} + {1}?", "{0} + {1}", "Add {0} and {1}."]).format(a, b)
        title = rng.choice(["answer", "result", "sum", "response"])
    else:
        values = {}
        question = " ".join(rng.choices(OTHER_WORDS, k=rng.randint(3, 9))) + "?"
        title = rng.choice(["answer", "result", "person", "response"])
    if rng.random() < 0.25:
        question = rng.choice(["Extract: ", "Read this: ", "Answer in JSON. "]) + question
    if rng.random() < 0.15:
        title = rng.choice(["schema", "output", "response", "json_schema"])
    keys = list(values)
    rng.shuffle(keys)
    values = {key: values[key] for key in keys}
    return question, _value_schema(rng, values, title), title, values


def _value_schema(rng: random.Random, values: JsonMapping, title: str) -> JsonMapping:
    titled = rng.random() < 0.3
    properties: JsonObject = {}
    for key, value in values.items():
        field = {"type": "string" if isinstance(value, str) else rng.choice(["integer", "number"])}
        properties[key] = {"title": key.capitalize(), **field} if titled else field
    if not values:
        properties = {word: {"type": "string"} for word in rng.sample(OTHER_WORDS, 2)}
    schema: JsonObject = {"type": "object", "properties": properties}
    if rng.random() < 0.85:
        schema["required"] = list(properties)
    if rng.random() < 0.5:
        schema["additionalProperties"] = False
    if titled:
        schema = {"title": title.capitalize(), **schema}
        if rng.random() < 0.5:
            schema = {k: schema[k] for k in sorted(schema)}
    return schema
