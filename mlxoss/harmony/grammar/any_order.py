"""Objects whose properties may come in any order.

A JSON schema's come in its own order here (``mlxoss.harmony.grammar.rules.Json``), which suits
functions: the model reads them in that order. Of the tools that it was trained with it remembers
orders of its own: ``{"cursor": 0, "id": 1}`` as well as the other way round. Held to one of them it
would leave out what it had meant to write next.
"""

from __future__ import annotations

import json

from mlxoss.core import JsonMapping
from mlxoss.harmony.grammar.rules import WHITESPACE, Lark


def any_order(schema: JsonMapping) -> Lark:
    """An object of ``schema``'s properties, of which it has some, and of no others.

    Each follows its own schema. Of the required ones the first has to be there; nothing keeps one
    from coming twice, though not for ever.
    """
    names = list(schema["properties"])
    required = next(iter(schema.get("required", ())), None)
    rules = [f"member_{index}" for index in range(len(names))]
    more = f"{{0,{len(names)}}}"
    if required is None:
        members = f"(member (comma member){more})?"
    else:
        needed = rules[names.index(required)]
        members = f"(member comma){more} {needed} (comma member){more}"
    lines = [
        f'start: "{{" SPACE? {members} SPACE? "}}"',
        'comma: SPACE? "," SPACE?',
        f"member: {' | '.join(rules)}",
        f"SPACE: /{WHITESPACE}/",
    ]
    for rule, name in zip(rules, names, strict=True):
        key, value = json.dumps(json.dumps(name)), json.dumps(schema["properties"][name])
        lines.append(f'{rule}: {key} SPACE? ":" SPACE? %json {value}')
    return Lark("".join(f"{line}\n" for line in lines))
