"""Turns under a grammar that are paused: the grammar goes on where it was."""

from __future__ import annotations

import random
import secrets
import sys
from pathlib import Path

import pytest

from mlxoss.engine.checkpoint.loader import load_folder
from mlxoss.engine.mlx.batch import LanguageModel
from mlxoss.harmony.grammar.compiler import GrammarCompiler
from tests.engine.test_guarded import guarded
from tests.support.checkpoints import TinyModel, write_checkpoint
from tests.support.engine.harness import make_backend
from tests.support.engine.leaning import Leaning
from tests.support.engine.pausing import Interrupted, alone, check_same
from tests.support.harmony.guarded_turns import MODES

pytestmark = pytest.mark.slow

PLENTY = 1 << 30


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    folder = Path(tmp_path_factory.mktemp("full"))
    return Leaning(load_folder(write_checkpoint(folder, TinyModel(hidden=16))))


@pytest.mark.parametrize("limit_bytes", [0, PLENTY])
def test_turns_that_are_paused_are_those_that_are_not(
    model: LanguageModel, guards: GrammarCompiler, limit_bytes: int
) -> None:
    seed = secrets.randbits(32)
    sys.stdout.write(f"seed {seed}\n")
    rng = random.Random(seed)
    requests = [
        guarded(guards, rules, max_tokens=60, temperature=temperature, seed=rng.randrange(1000))
        for rules in MODES.values()
        for temperature in (0.0, 1.0)
    ]
    backend = make_backend(model, limit_bytes=limit_bytes, max_batch=len(requests))
    batch = Interrupted(backend, rng)
    for request, got in zip(requests, batch.run(requests, 0.5), strict=True):
        check_same(model, request, got, alone(model, request))
    assert batch.pauses > 5


@pytest.mark.parametrize("mode", ["named", "schema"])
def test_a_pause_between_forced_runs(
    model: LanguageModel, guards: GrammarCompiler, mode: str
) -> None:
    """Alone, ids that are sure to follow are fed together; a pause comes between two such steps."""
    request = guarded(guards, MODES[mode], max_tokens=60, temperature=0.0)
    for chance in (1.0, 0.3):
        batch = Interrupted(make_backend(model, limit_bytes=PLENTY), random.Random(mode))
        (got,) = batch.run([request], chance)
        check_same(model, request, got, alone(model, request))
        assert batch.pauses > 2
