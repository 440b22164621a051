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
from mlxoss.harmony.grammar.rules import Json, TurnRules
from mlxoss.harmony.parser import TurnParser
from tests.support.harmony.json_schemas import ENFORCED, REFUSED
from tests.support.harmony.walks import random_turn, to_ids

TURNS = 12


@pytest.mark.parametrize("schema", ENFORCED.values(), ids=ENFORCED)
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


def _answer(encoding: Encoding, ids: list[int]) -> str:
    parser = TurnParser(encoding, ())
    events = [event for id_ in ids for event in parser.feed(id_)]
    assert not parser.recoveries
    return "".join(event.text for event in events if isinstance(event, ContentDelta))
