"""Schemas under the guard: enforced to the letter, or refused with a reason."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from mlxoss.errors import InvalidRequest
from mlxoss.harmony.encoding import STOP_IDS, Encoding
from mlxoss.harmony.events import ContentDelta
from mlxoss.harmony.grammar.compiler import GrammarCompiler
from mlxoss.harmony.grammar.disjoint import Disjointness
from mlxoss.harmony.grammar.rules import Json, TurnRules
from mlxoss.harmony.parser import TurnParser
from tests.support.harmony.json_schemas import BINDING_NOTHING, ENFORCED, REFUSED
from tests.support.harmony.walks import accepts, random_turn, to_ids

TURNS = 12


@pytest.mark.parametrize(
    "schema", (ENFORCED | BINDING_NOTHING).values(), ids=ENFORCED | BINDING_NOTHING
)
def test_every_output_follows_the_schema(
    guards: GrammarCompiler, encoding: Encoding, schema: Any
) -> None:
    grammar = guards.compile(TurnRules(final=Json(schema)))
    validator = jsonschema.Draft202012Validator(
        schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )
    ended = 0
    for seed in range(TURNS):
        guard = grammar.make_matcher()
        header = to_ids(encoding, "<|channel|>final<|message|>")
        guard.take(header)
        ids = header + random_turn(guard, seed)
        text = _answer(encoding, ids)
        if ids[-1] in STOP_IDS:
            ended += 1
            validator.validate(json.loads(text))
    assert ended >= 1


@pytest.mark.parametrize(("schema", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_enforced_is_refused(
    guards: GrammarCompiler, schema: Any, reason: str
) -> None:
    rules = TurnRules(final=Json(schema), final_param="response_format.json_schema.schema")
    with pytest.raises(InvalidRequest, match=reason) as caught:
        guards.compile(rules)
    assert caught.value.param == "response_format.json_schema.schema"
    assert len(str(caught.value)) < 1000
    assert "nable" not in str(caught.value)


ALLOWED: dict[str, list[Any]] = {
    "what only one allows": [{"a": True}, {"b": True}, {"a": True, "b": False}],
    "nested tags": [{"a": {"k": 1}}, {"a": {"k": "1"}}, {"a": {"k": True}}, {"a": {"k": None}}],
    "int64": [0, -(10**18), 9 * 10**18],
    "uint64": [10**18, 9 * 10**18],
    "doubles": [0.5, -(10**18), 10**18],
    "format shoe-size": ["", "42"],
    "not unique": [[1, 1]],
    "tags behind references": [{"t": "a", "z": True}, {"t": "b"}],
}


@pytest.mark.parametrize("case", ALLOWED)
def test_what_binds_nothing_forbids_nothing(
    guards: GrammarCompiler, encoding: Encoding, case: str
) -> None:
    rules = TurnRules(final=Json(BINDING_NOTHING[case]))
    for value in ALLOWED[case]:
        text = f"<|channel|>final<|message|>{json.dumps(value)}<|return|>"
        assert accepts(guards, encoding, rules, text), value


def test_a_hostile_one_of_is_looked_at_for_a_moment_only() -> None:
    names = [f"p{i}" for i in range(60)]
    tall: Any = {"type": "string"}
    for _ in range(5):
        tall = {"type": "object", "required": names, "properties": dict.fromkeys(names, tall)}
    looked = Disjointness(tall)
    assert not looked.are_apart({}, [dict(tall) for _ in range(100)])
    endless: Any = {"$ref": "#"}
    assert not Disjointness(endless).are_apart({}, [endless, endless])


def _answer(encoding: Encoding, ids: list[int]) -> str:
    parser = TurnParser(encoding, ())
    events = [event for id_ in ids for event in parser.feed(id_)]
    assert not parser.recoveries
    return "".join(event.text for event in events if isinstance(event, ContentDelta))
