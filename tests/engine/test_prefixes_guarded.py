"""Turns under a grammar go on from what is kept as they would from nothing."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from mlxoss.core import GenerationRequest, SamplingParams
from mlxoss.engine.checkpoint.loader import load_folder
from mlxoss.engine.mlx.batch import LanguageModel, MlxBackend
from mlxoss.harmony.encoding import CALL, END, RETURN, START, STOP_IDS, Encoding
from mlxoss.harmony.grammar.compiler import GrammarCompiler
from tests.support.checkpoints import TinyModel, write_checkpoint
from tests.support.engine.harness import drain, make_backend
from tests.support.engine.leaning import Leaning
from tests.support.harmony.guarded_turns import MODES, check_turn

LIMIT_BYTES = 1 << 28


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    folder = Path(tmp_path_factory.mktemp("full"))
    return Leaning(load_folder(write_checkpoint(folder, TinyModel(hidden=16))))


def run(backend: MlxBackend, request: GenerationRequest) -> tuple[int, list[int]]:
    cached = backend.insert(0, request)
    outcome = drain(backend, [0])[0]
    assert outcome.error is None
    return cached, outcome.ids


@pytest.mark.parametrize("mode", ["chat", "required", "schema", "tools and schema"])
def test_a_guarded_conversation_equals_a_cold_one(
    model: LanguageModel, guards: GrammarCompiler, encoding: Encoding, mode: str
) -> None:
    rng = random.Random(mode)
    warm = make_backend(model, limit_bytes=LIMIT_BYTES)
    cold = make_backend(model)
    assistant = encoding.encode_text("assistant")
    ids = [START, *encoding.encode_text("system<harbour>"), END]
    computed = 0
    for turn in range(3):
        words = [rng.randrange(1000, 90_000) for _ in range(rng.choice([5, 60, 127, 128]))]
        ids += [START, *encoding.encode_text("user"), *words, END, START, *assistant]
        # A seed, so that each of the two draws the same numbers.
        sampling = SamplingParams(temperature=1.0, seed=turn)
        grammar = guards.compile(MODES[mode])
        request = GenerationRequest(tuple(ids), 120, STOP_IDS, sampling, grammar)
        cached, said = run(warm, request)
        assert said == run(cold, request)[1]
        check_turn(encoding, MODES[mode], said)
        # All that was there before, or all but the answer if that ends as no prompt goes on.
        assert cached >= computed
        computed = len(ids) + len(said) if said[-1] == CALL else len(ids) - 1
        ids += [*said[:-1], END] if said[-1] == RETURN else said
    assert warm.prefix_cache.hits == 2
