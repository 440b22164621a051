"""Arguments follow their schema wherever it compiles; where it does not, they are any object."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from mlxoss.api.turn_rules import function_rule
from mlxoss.errors import InvalidRequest
from mlxoss.harmony.encoding import Encoding
from mlxoss.harmony.grammar.compiler import GrammarCompiler
from mlxoss.harmony.grammar.rules import CallRule, FreeText, Json, TurnRules
from tests.support.harmony.walks import accepts

PERSON: Any = {
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name"],
}
UNUSABLE: dict[str, Any] = {
    "a keyword": {"type": "object", "not": {"required": ["a"]}},
    "a pattern": {"type": "object", "properties": {"a": {"type": "string", "pattern": "(?!a)b"}}},
    "a reference": {"$ref": "https://example.com/x.json"},
    "no objects": {"type": "string"},
    "no objects among values": {"enum": ["Paris", 5]},
    "true": True,
    "too many remainders": {"type": "object", "properties": {"a": {"multipleOf": 999_983}}},
    "malformed": {"type": "object", "properties": [1]},
}


def call(arguments: str, name: str = "f") -> str:
    return (
        f"<|channel|>commentary to=functions.{name} <|constrain|>json<|message|>{arguments}<|call|>"
    )


def rule(schema: Any, *, strict: bool | None = None, name: str = "f") -> CallRule:
    return function_rule(name, schema, strict=strict, param="tools[0]")


@pytest.mark.parametrize("strict", [None, False])
def test_arguments_follow_the_schema(
    guards: GrammarCompiler, encoding: Encoding, strict: bool | None
) -> None:
    rules = TurnRules(calls=(rule(PERSON, strict=strict),))
    for arguments, follows in [
        ('{"name": "Ann", "age": 5}', True),
        ('{"name": "Ann"}', True),
        ('{"name": "Ann", "town": "Bern"}', True),
        ('{"town": "Bern"}', False),
        ('{"name": 5}', False),
        ('{"name": "Ann", "age": "five"}', False),
        ('"Ann"', False),
    ]:
        assert accepts(guards, encoding, rules, call(arguments)) is follows, arguments
    closed = TurnRules(calls=(rule(PERSON | {"additionalProperties": False}, strict=strict),))
    assert not accepts(guards, encoding, closed, call('{"name": "Ann", "town": "Bern"}'))


@pytest.mark.parametrize("schema", [None, {}, {"type": "object", "properties": {}}])
def test_a_schema_that_says_nothing_allows_any_object(
    guards: GrammarCompiler, encoding: Encoding, schema: Any
) -> None:
    rules = TurnRules(calls=(rule(schema),))
    assert accepts(guards, encoding, rules, call('{"town": "Bern"}'))
    assert not accepts(guards, encoding, rules, call("[1]"))


@pytest.mark.parametrize("case", UNUSABLE)
def test_where_it_does_not_compile_any_object_goes(
    guards: GrammarCompiler, encoding: Encoding, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    rules = TurnRules(calls=(rule(UNUSABLE[case]), rule(PERSON, name="g")))
    for _ in range(2):
        assert accepts(guards, encoding, rules, call('{"town": "Bern"}'))
        assert not accepts(guards, encoding, rules, call('"Paris"'))
        assert not accepts(guards, encoding, rules, call('{"town": "Bern"}', "g"))
    said = [record.getMessage() for record in caplog.records]
    assert len(said) <= 1
    assert all("f (" in line for line in said)


@pytest.mark.parametrize("case", UNUSABLE)
def test_strict_ones_that_do_not_compile_are_named(guards: GrammarCompiler, case: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        guards.compile(TurnRules(calls=(rule(UNUSABLE[case], strict=True),)))
    assert caught.value.param == "tools[0]"


def test_a_wrong_final_is_named_beside_calls_that_are_not_strict(guards: GrammarCompiler) -> None:
    final = Json({"not": {}})
    for schema in (PERSON, UNUSABLE["a keyword"]):
        with pytest.raises(InvalidRequest) as caught:
            guards.compile(TurnRules(calls=(rule(schema),), final=final, final_param="text"))
        assert caught.value.param == "text"


def test_schemas_that_are_too_large_together(
    guards: GrammarCompiler, encoding: Encoding, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    large = {f"p{i}": {"enum": [f"{i}-{j}" for j in range(8)]} for i in range(400)}
    calls = tuple(rule({"properties": large}, name=f"f{n}") for n in range(40))
    rules = TurnRules(calls=calls, final=FreeText())
    for _ in range(2):
        assert accepts(guards, encoding, rules, call('{"p0": 5}', "f7"))
    assert len(caplog.records) == 1
    alone = TurnRules(calls=calls[:1])
    assert not accepts(guards, encoding, alone, call('{"p0": 5}', "f0"))
