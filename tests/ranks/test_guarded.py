"""Turns under a grammar, with a model that two ranks share: rank 0 alone knows the grammar."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from mlxoss.harmony.grammar.compiler import GrammarCompiler
from tests.engine.test_guarded import (
    guarded,
    test_what_cannot_be_followed_fails_its_own_request,
)
from tests.support.engine.harness import make_backend, run_batch
from tests.support.engine.leaning import Leaning
from tests.support.harmony.guarded_turns import MODES
from tests.support.ranks.shared import SharedModel

__all__ = ["test_what_cannot_be_followed_fails_its_own_request"]

if os.environ.get("TEST_RANKS") == "all":
    from tests.engine.test_guarded import test_a_cut_turn_ends_by_length  # noqa: F401


@pytest.fixture
def model(model: SharedModel) -> SharedModel:
    return replace(model, wrap=Leaning)


def test_greedy_turns_are_those_of_one_process(model: SharedModel, guards: GrammarCompiler) -> None:
    """Alone, forced ids are fed together and travel in the step's message; together one by one."""
    requests = {
        mode: guarded(guards, rules, max_tokens=60, temperature=0.0)
        for mode, rules in MODES.items()
    }
    one_process = Leaning(model.whole)
    expected = [run_batch(make_backend(one_process), [each])[0] for each in requests.values()]
    together = run_batch(make_backend(model, max_batch=len(MODES)), list(requests.values()))
    assert [outcome.ids for outcome in together] == [outcome.ids for outcome in expected]
    for mode in ("named", "schema"):
        (alone,) = run_batch(make_backend(model), [requests[mode]])
        assert alone.ids == expected[list(requests).index(mode)].ids
