"""Whole turns under the guard, drawn at random: well formed, every one."""

from __future__ import annotations

import secrets
import sys

import pytest

from mlxoss.harmony.encoding import STOP_IDS, Encoding
from mlxoss.harmony.grammar.compiler import GrammarCompiler
from mlxoss.harmony.grammar.rules import TurnRules
from tests.support.harmony.guarded_turns import MODES, check_turn
from tests.support.harmony.walks import random_turn

TURNS_EACH = 125


@pytest.mark.parametrize("rules", MODES.values(), ids=MODES)
def test_a_thousand_turns_are_well_formed(
    guards: GrammarCompiler, encoding: Encoding, rules: TurnRules
) -> None:
    seed = secrets.randbits(32)
    sys.stdout.write(f"seed {seed}\n")
    grammar = guards.compile(rules)
    turns = [random_turn(grammar.make_matcher(), seed + i, most=200) for i in range(TURNS_EACH)]
    for ids in turns:
        check_turn(encoding, rules, ids)
    assert sum(ids[-1] in STOP_IDS for ids in turns) >= TURNS_EACH // 2
