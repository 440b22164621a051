"""Turns under a grammar on a random model: well formed, whatever they are batched with."""

from __future__ import annotations

import random
import secrets
import sys
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from mlxoss.core import FinishReason, GenerationRequest, SamplingParams
from mlxoss.engine.checkpoint.loader import load_folder
from mlxoss.engine.mlx.batch import LanguageModel
from mlxoss.harmony.encoding import RETURN, STOP_IDS, Encoding
from mlxoss.harmony.grammar.compiler import GrammarCompiler
from mlxoss.harmony.grammar.matcher import GrammarError, GrammarMatcher
from mlxoss.harmony.grammar.rules import TurnRules
from tests.support.checkpoints import TinyModel, write_checkpoint
from tests.support.engine.harness import (
    Outcome,
    WatchedModel,
    drain,
    make_backend,
    make_request,
    run_batch,
    with_sampling,
)
from tests.support.engine.leaning import Leaning
from tests.support.harmony.guarded_turns import MODES, check_turn

PROMPT = list(range(1000, 1020))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    folder = Path(tmp_path_factory.mktemp("full"))
    return Leaning(load_folder(write_checkpoint(folder, TinyModel(hidden=16))))


def guarded(
    guards: GrammarCompiler, rules: TurnRules, *, max_tokens: int = 200, **sampling: Any
) -> GenerationRequest:
    params = SamplingParams(temperature=1.0)
    request = make_request(PROMPT, max_tokens, params, STOP_IDS)
    request = with_sampling(request, **sampling)
    return GenerationRequest(
        request.prompt_ids,
        request.max_tokens,
        request.stop_ids,
        request.sampling,
        guards.compile(rules),
    )


def check(encoding: Encoding, rules: TurnRules, outcome: Outcome) -> None:
    assert outcome.error is None
    check_turn(encoding, rules, outcome.ids)


TURNS = 64


@pytest.mark.slow
def test_turns_are_well_formed(
    model: LanguageModel, guards: GrammarCompiler, encoding: Encoding
) -> None:
    seed = secrets.randbits(32)
    sys.stdout.write(f"seed {seed}\n")
    # A seed of its own for each turn: with one for all, long turns come together.
    rng = random.Random(seed)
    backend = make_backend(model, max_batch=8, entropy=lambda: rng.getrandbits(64))
    modes = [rules for _, rules in zip(range(TURNS), cycle(MODES.values()), strict=False)]
    outcomes = run_batch(backend, [guarded(guards, rules, max_tokens=60) for rules in modes])
    for rules, outcome in zip(modes, outcomes, strict=True):
        check(encoding, rules, outcome)
    ended = [o for o in outcomes if o.tokens[-1].finish is FinishReason.STOP]
    assert len(ended) >= 0.8 * TURNS


def test_modes_share_a_batch(
    model: LanguageModel, guards: GrammarCompiler, encoding: Encoding
) -> None:
    backend = make_backend(model, max_batch=2 * len(MODES))
    plain = make_request(PROMPT, 40, SamplingParams(temperature=1.0, seed=5))
    requests = [plain, *(guarded(guards, rules) for rules in MODES.values())]
    first, *outcomes = run_batch(backend, requests)
    for rules, outcome in zip(MODES.values(), outcomes, strict=True):
        check(encoding, rules, outcome)
    (alone,) = run_batch(make_backend(model), [plain])
    assert first.ids == alone.ids


@pytest.mark.parametrize("mode", MODES)
def test_greedy_alone_equals_greedy_in_a_batch(
    model: LanguageModel, guards: GrammarCompiler, mode: str
) -> None:
    """Alone, forced ids go through the model together; beside a row that has none one by one."""
    request = guarded(guards, MODES[mode], max_tokens=160, temperature=0.0)
    others = [guarded(guards, rules, temperature=0.0) for rules in MODES.values()]
    (alone,) = run_batch(make_backend(model), [request])
    together, *_ = run_batch(make_backend(model, max_batch=9), [request, *others])
    assert alone.ids == together.ids


def test_rows_with_sure_ids_take_them_together(
    model: LanguageModel, guards: GrammarCompiler
) -> None:
    shapes: list[tuple[int, int]] = []
    watched = WatchedModel(model, lambda rows, tokens: shapes.append((rows, tokens)))
    requests = [
        replace(guarded(guards, MODES["named"], temperature=0.0), prompt_ids=(first, *PROMPT * 8))
        for first in (1, 2, 3)
    ]
    alone = [run_batch(make_backend(model), [request])[0].ids for request in requests]
    together = run_batch(make_backend(watched, max_batch=3), requests)
    assert [outcome.ids for outcome in together] == alone
    decodes = shapes[shapes.index((3, 1)) :]
    assert max(tokens for rows, tokens in decodes if rows == 3) > 1


def test_a_seeded_turn_is_the_same_alone_and_in_a_batch(
    model: LanguageModel, guards: GrammarCompiler
) -> None:
    request = guarded(guards, MODES["auto"], seed=7)
    others = [guarded(guards, rules) for rules in MODES.values()]
    (alone,) = run_batch(make_backend(model), [request])
    together, *_ = run_batch(make_backend(model, max_batch=9), [request, *others])
    assert alone.ids == together.ids


def test_log_probabilities_are_the_models_own(
    model: LanguageModel, guards: GrammarCompiler
) -> None:
    request = guarded(guards, MODES["schema"], seed=3, top_logprobs=2, max_tokens=30)
    (outcome,) = run_batch(make_backend(model), [request])
    first = outcome.tokens[0]
    assert first.logprob is not None
    # Untrained, and only one id was allowed: it cost what it would cost among all of them.
    assert first.logprob.logprob < -5
    assert len(first.logprob.top) == 2


def test_a_cut_turn_ends_by_length(model: LanguageModel, guards: GrammarCompiler) -> None:
    for max_tokens in range(1, 24):
        request = guarded(guards, MODES["named"], max_tokens=max_tokens, temperature=0.0)
        (outcome,) = run_batch(make_backend(model), [request])
        assert len(outcome.ids) <= max_tokens
        if outcome.ids[-1] not in STOP_IDS:
            assert outcome.tokens[-1].finish is FinishReason.LENGTH
            assert len(outcome.ids) == max_tokens


class Broken:
    """A grammar that cannot be followed: the turn has left it already."""

    def __init__(self, guards: GrammarCompiler) -> None:
        self._grammar = guards.compile(TurnRules())

    def make_matcher(self) -> GrammarMatcher:
        guard = self._grammar.make_matcher()
        with pytest.raises(GrammarError):
            guard.take([RETURN])
        return guard


def test_what_cannot_be_followed_fails_its_own_request(
    model: LanguageModel, guards: GrammarCompiler, encoding: Encoding
) -> None:
    backend = make_backend(model)
    good = guarded(guards, MODES["schema"])
    backend.insert(0, good)
    bad = GenerationRequest((1,), 5, STOP_IDS, grammar=Broken(guards))
    with pytest.raises(GrammarError):
        backend.insert(1, bad)
    check(encoding, MODES["schema"], drain(backend, [0])[0])
