"""What a turn may be told to be, and whether it is."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import jsonschema

from mlxoss.harmony.builtins import BROWSER, PYTHON, to_rules
from mlxoss.harmony.encoding import CALL, RETURN, STOP_IDS, Encoding
from mlxoss.harmony.events import Channel, ContentDelta, MessageStart
from mlxoss.harmony.grammar.rules import Body, CallRule, FreeText, Json, Regex, TurnRules
from mlxoss.harmony.parser import TurnParser

PLACE = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 8},
        "unit": {"enum": ["celsius", "fahrenheit"]},
    },
    "required": ["city", "unit"],
    "additionalProperties": False,
}
ANSWER = {
    "type": "object",
    "properties": {"ok": {"type": "boolean"}, "n": {"type": "integer", "minimum": 0}},
    "required": ["ok"],
    "additionalProperties": False,
}
WEATHER = CallRule("get_weather", Json(PLACE))
ANY = CallRule("get", Json({"type": "object"}))
STAMP = CallRule("stamp", Regex(r"\d{2}/\d{2}"))
NOTE = CallRule("note", FreeText())
ALL = (WEATHER, ANY, STAMP, NOTE)
BUILTINS = to_rules([BROWSER, PYTHON])
BUILTIN_BODIES: dict[str, Body] = {
    "python": FreeText(),
    **{
        f"browser.{tool.name}": Json({**dict(tool.parameters), "additionalProperties": False})
        for tool in BROWSER.tools
        if isinstance(tool.parameters, Mapping)
    },
}

MODES = {
    "chat": TurnRules(),
    "auto": TurnRules(calls=ALL, preambles=True),
    "auto, one call": TurnRules(calls=ALL, preambles=True, parallel_calls=False),
    "required": TurnRules(calls=ALL, preambles=True, must_call=True),
    "named": TurnRules(calls=(WEATHER,), must_call=True, parallel_calls=False),
    "allowed": TurnRules(calls=(STAMP, WEATHER), preambles=True),
    "schema": TurnRules(final=Json(ANSWER)),
    "tools and schema": TurnRules(calls=ALL, preambles=True, final=Json(ANSWER)),
    "built-ins": TurnRules(builtins=BUILTINS),
    "built-ins and tools": TurnRules(calls=ALL, builtins=BUILTINS, preambles=True),
    "one built-in or tool": TurnRules(
        calls=ALL, builtins=BUILTINS, must_call=True, parallel_calls=False
    ),
}


@dataclass
class Read:
    """A turn as the parser sees it: (channel, whom it calls, text), and what it put right.

    A built-in tool is called by its recipient, a function by its name.
    """

    messages: list[tuple[Channel, str | None, str]]
    recoveries: Counter[str]


def read(encoding: Encoding, rules: TurnRules, ids: Sequence[int]) -> Read:
    builtins = [builtin.recipient for builtin in rules.builtins]
    parser = TurnParser(encoding, [call.name for call in rules.calls], builtins)
    messages: list[tuple[Channel, str | None, str]] = []
    for event in (event for id_ in ids for event in parser.feed(id_)):
        match event:
            case MessageStart(channel, recipient, builtin):
                messages.append((channel, recipient or builtin, ""))
            case ContentDelta(text):
                channel, recipient, before = messages[-1]
                messages[-1] = channel, recipient, before + text
    return Read(messages, parser.recoveries)


def check_turn(encoding: Encoding, rules: TurnRules, ids: Sequence[int]) -> None:
    """The turn parses without a recovery, and follows its rules."""
    turn = read(encoding, rules, ids)
    assert not turn.recoveries
    if ids[-1] not in STOP_IDS:
        return
    bodies: dict[str, Body] = {call.name: call.body for call in rules.calls}
    bodies |= {rule.recipient: BUILTIN_BODIES[rule.recipient] for rule in rules.builtins}
    calls = [(name, text) for _, name, text in turn.messages if name is not None]
    finals = [text for channel, name, text in turn.messages if channel is Channel.FINAL]
    assert all(name in bodies for name, _ in calls)
    for name, text in calls:
        _check_body(bodies[name], text)
    for text in finals:
        _check_body(rules.final, text)
    assert len(finals) == (ids[-1] == RETURN)
    assert calls or not rules.must_call
    assert rules.parallel_calls or len(calls) <= 1
    hosted = [name for _, name, _ in turn.messages if name in BUILTIN_BODIES]
    assert hosted in ([], [turn.messages[-1][1]])
    assert not hosted or ids[-1] == CALL


def _check_body(body: object, text: str) -> None:
    match body:
        case Json(schema):
            jsonschema.validate(json.loads(text), schema)
        case Regex():
            assert len(text) == 5
