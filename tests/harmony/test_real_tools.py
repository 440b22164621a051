"""The guard with the tools that clients really send."""

from __future__ import annotations

import json
import logging
import random

import jsonschema
import pytest

from mlxoss.harmony.encoding import Encoding
from mlxoss.harmony.grammar.compiler import GrammarCompiler, TurnGrammar
from mlxoss.harmony.grammar.matcher import GrammarError
from mlxoss.harmony.grammar.rules import TurnRules
from tests.support.harmony.real_tools import arguments, real_tools, to_rules, together
from tests.support.harmony.walks import to_ids

SOURCES = real_tools()
ANY_OBJECT = {"@notionhq/notion-mcp-server": ["API-post-page"]}
"""What cannot be enforced: several branches of a oneOf may match one value."""
TRIES = 3


@pytest.mark.parametrize("package", SOURCES)
def test_their_calls_follow_their_schemas(
    guards: GrammarCompiler, encoding: Encoding, package: str
) -> None:
    tools, loose = SOURCES[package].tools, ANY_OBJECT.get(package, [])
    grammar = guards.compile(to_rules(tools))
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201
    dice, tried = random.Random(seed), 0
    for name, schema in tools.items():
        validator = jsonschema.Draft202012Validator(schema)
        for _ in range(TRIES):
            made = arguments(schema, dice)
            is_valid = validator.is_valid(made)
            tried += is_valid
            if is_valid or name in loose:
                assert follows(grammar, encoding, name, json.dumps(made)), (name, made)
        assert not follows(grammar, encoding, name, "[]")
        # Of a tool that names no argument nothing is known.
        if schema.get("properties") and schema.get("additionalProperties") is False:
            assert not follows(grammar, encoding, name, '{"of no tool": 1}')
    assert tried >= len(tools)


@pytest.mark.parametrize("package", SOURCES)
def test_what_they_cannot_have_enforced_is_told_once(
    guards: GrammarCompiler, package: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Then their arguments are any object, whatever comes beside them."""
    caplog.set_level(logging.INFO, logger="mlxoss.harmony")
    fresh = GrammarCompiler(guards.load)
    rules = to_rules(SOURCES[package].tools)
    for part in (
        rules,
        rules,
        TurnRules(calls=rules.calls[1:]),
        TurnRules(calls=rules.calls[::-1]),
    ):
        fresh.compile(part)
    told = [message for message in caplog.messages if "take any object" in message]
    assert len(told) == (package in ANY_OBJECT)
    assert all(f"{name} (" in told[0] for name in ANY_OBJECT.get(package, []))


@pytest.mark.slow
def test_all_of_them_make_one_grammar(guards: GrammarCompiler, encoding: Encoding) -> None:
    tools = together(SOURCES)
    assert len(tools) == sum(len(source.tools) for source in SOURCES.values())
    grammar, dice = guards.compile(to_rules(tools)), random.Random(1)
    for name, schema in tools.items():
        made = arguments(schema, dice)
        if jsonschema.Draft202012Validator(schema).is_valid(made):
            assert follows(grammar, encoding, name, json.dumps(made)), (name, made)


def follows(grammar: TurnGrammar, encoding: Encoding, name: str, text: str) -> bool:
    """Whether a turn of one call with these arguments is allowed."""
    header = f"<|channel|>commentary to=functions.{name} <|constrain|>json"
    try:
        grammar.make_matcher().take(to_ids(encoding, f"{header}<|message|>{text}<|call|>"))
    except GrammarError:
        return False
    return True
