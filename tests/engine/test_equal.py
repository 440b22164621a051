"""Whichever settings make it fast, it says the same, to the bit: tokens and log probabilities.

The truth is mlx-lm's own modules, run by the engine, and for a single greedy row by nothing but a
loop. Each format of weights is tried: on a CPU plain bfloat16 is computed in float32, since MLX
multiplies no others by experts there; quantised weights are in bfloat16 all through.

The clock stands still: by it the engine chooses how much of a prompt it computes at once, and other
lengths may round otherwise. So nothing here is left to chance, ties in bfloat16 included: all
computes in the same shapes, and the first of the likeliest is chosen.

No shape of a fused multiplication rounds otherwise. On Metal that is read (MLX 0.32,
``quantized.cpp`` and ``matmul.cpp``): what is chosen by the matrix's height, ``gather_qmv``'s path
for multiples of 8 and ``gather_mv``'s threads from 4096 rows on, decides who computes a row and not
in which order it is summed; the kernels for sorted experts have blocks of fixed width.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest

from mlxoss.config import Config
from mlxoss.core import ModelInfo
from mlxoss.daemon.assemble import load_backend
from mlxoss.engine.backend import Backend
from mlxoss.engine.checkpoint.folder import read_any_checkpoint
from mlxoss.engine.checkpoint.loader import ModelSource, load_folder
from mlxoss.engine.checkpoint.watch import ModelFiles
from mlxoss.engine.mlx.batch import LanguageModel
from mlxoss.engine.mlx.device import computes_on_metal
from mlxoss.harmony.grammar.compiler import GrammarCompiler
from tests.support.checkpoints import TinyModel, write_checkpoint, write_plain, write_quantised
from tests.support.engine.harness import SMALL_VOCAB
from tests.support.engine.leaning import make_lean
from tests.support.engine.saying import GREEDY_ROW, Said, say_everything, say_guarded
from tests.support.engine.switches import (
    Combination,
    all_off,
    all_on,
    every,
    pairwise,
    speed_settings,
    to_name,
)

SEED = 2024
FORMATS: Mapping[str, Any] = {
    "float32": None,
    "bfloat16": "bfloat16",
    "mxfp4 and 8 bits": (8, "mixed"),
    "mxfp4": (4, "mxfp4"),
    "4 bits": (4, "affine"),
    "8 bits": (8, "affine"),
}
_QUICK = ("float32", "mxfp4 and 8 bits", "4 bits")


class Untouched:
    """An mlx-lm model that nothing knows to be gpt-oss, so that its own modules run."""

    def __init__(self, model: LanguageModel) -> None:
        self._model: Any = model

    def __call__(self, inputs: mx.array, cache: Any = None) -> mx.array:
        logits: mx.array = self._model(inputs, cache=cache)
        return logits

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


Change = Callable[[LanguageModel], Any]


@dataclass
class Tried:
    """A checkpoint, and what the daemon's own backend says with it; each in a home of its own."""

    name: str
    folder: Path
    home: Path
    monkeypatch: pytest.MonkeyPatch
    say: Callable[[Callable[[], Backend]], Said]
    lives: int = field(default=0, init=False)

    def said(self, combination: Combination, change: Change = lambda model: model) -> Said:
        """With the settings of a ``combination``; ``change`` is applied to the model."""
        self.lives += 1
        self.monkeypatch.setenv("MLXOSS_HOME", str(self.home / str(self.lives)))
        return self.say(lambda: load(self.folder, combination, change))

    def truth(self) -> Said:
        """By mlx-lm's own modules."""
        return self.said(all_off(), Untouched)


def load(folder: Path, combination: Combination, change: Change) -> Backend:
    """As the daemon does, whatever the vocabulary."""

    class Source(ModelSource):
        def load(self, **options: Any) -> Any:
            return change(load_folder(folder, **options))

    checkpoint = read_any_checkpoint(folder, "")
    info = ModelInfo("tiny", checkpoint.context_tokens, checkpoint.created)
    source = Source(info, folder, checkpoint=checkpoint)
    return load_backend(source, ModelFiles(folder), Config(**combination), None)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    return write_checkpoint(folder, TinyModel(vocab_size=SMALL_VOCAB, seed=SEED))


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "perf_counter", lambda: 0.0)
    # What the daemon sets is undone.
    monkeypatch.setenv("MLX_METAL_RESIDENCY_REFRESH_INTERVAL_MS", "0")
    sys.stdout.write(f"seed {SEED}\n")


@pytest.fixture(
    params=[
        pytest.param(name, marks=() if name in _QUICK else pytest.mark.slow) for name in FORMATS
    ]
)
def tried(
    request: pytest.FixtureRequest, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Tried:
    return try_format(request.param, base, tmp_path, monkeypatch)


@pytest.fixture
def plain(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tried:
    return try_format("float32", base, tmp_path, monkeypatch)


def try_format(name: str, base: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Tried:
    folder = base
    match FORMATS[name]:
        case (bits, mode):
            folder = write_quantised(home / "own", base, bits=bits, mode=mode, dtype="bfloat16")
        case str(dtype):
            folder = write_plain(home / "own", base, dtype=dtype)
    return Tried(name, folder, home, monkeypatch, say_everything)


def check(found: Said, truth: Said, combination: Combination) -> None:
    for way, wanted in truth.items():
        assert found[way] == wanted, f"{way}, with {to_name(combination)}"


def say_by_a_loop(model: Any) -> list[int]:
    """What mlx-lm's model says greedily when it is called in the engine's shapes."""
    *before, last = GREEDY_ROW.prompt_ids
    latest: Any = last
    cache = model.make_cache()
    model(mx.array([before]), cache=cache)
    ids: list[int] = []
    while len(ids) < GREEDY_ROW.max_tokens:
        logits = model(mx.array([[latest]]), cache=cache)
        latest = mx.argmax(logits[0, -1]).tolist()
        ids.append(latest)
    return ids


def test_as_served_it_says_what_mlx_lm_says(tried: Tried) -> None:
    truth = tried.truth()
    (alone,) = truth["greedy row"]
    whole = load_folder(tried.folder, fused=False)
    assert [token.token_id for token in alone] == say_by_a_loop(whole)
    check(tried.said(all_on()), truth, all_on())


def test_any_two_settings(plain: Tried) -> None:
    truth = plain.truth()
    for combination in pairwise(speed_settings()):
        if combination != all_on():
            check(plain.said(combination), truth, combination)


def test_a_difference_would_be_seen(plain: Tried) -> None:
    def nudge(model: Any) -> Any:
        model.lm_head.weight = model.lm_head.weight * (1 + 1e-6)
        return model

    truth = plain.said(all_off())
    found = plain.said(all_off(), nudge)
    assert [way for way in truth if found[way] != truth[way]]


@pytest.mark.slow
def test_every_combination(tried: Tried) -> None:
    """Of those that do anything here: without Metal there is nothing to wire. All of them with two
    formats of weights, and any two settings with the others, so that one more costs little."""
    truth = tried.truth()
    values = acting(speed_settings())
    combinations = every(values) if tried.name in _QUICK[:2] else pairwise(values)
    for combination in combinations:
        check(tried.said({**all_on(), **combination}), truth, combination)


def acting(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """The settings that a process can take at any time, and that do something on this device."""
    left_out = {"command_buffers"} if computes_on_metal() else {"command_buffers", "wired"}
    return {name: each for name, each in values.items() if name not in left_out}


@pytest.fixture
def under_grammars(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, guards: GrammarCompiler
) -> Tried:
    """With Harmony's vocabulary, which grammars are about."""
    folder = make_lean(write_checkpoint(tmp_path / "own", TinyModel(hidden=16, seed=SEED)))

    def say(load_it: Callable[[], Backend]) -> Said:
        backend = load_it()
        said = say_guarded(backend, guards)
        backend.close()
        return said

    return Tried("grammars", folder, tmp_path, monkeypatch, say)


def test_turns_under_grammars(under_grammars: Tried) -> None:
    check(under_grammars.said(all_on()), under_grammars.truth(), all_on())


@pytest.mark.slow
def test_turns_under_grammars_with_any_two_settings(under_grammars: Tried) -> None:
    truth = under_grammars.truth()
    for combination in pairwise(speed_settings()):
        check(under_grammars.said(combination), truth, combination)
