"""Output that is no number: a failure that says so, for the sequences that it comes to alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest

from mlxoss.core import GenerationRequest, SamplingParams
from mlxoss.engine.backend import SequenceFailed
from mlxoss.engine.checkpoint.loader import load_folder
from mlxoss.engine.mlx.batch import LanguageModel, MlxBackend
from mlxoss.engine.mlx.memory import make_room
from mlxoss.engine.prefix_cache.cache import PrefixCache
from mlxoss.errors import ModelError, NotANumber
from mlxoss.harmony.encoding import STOP_IDS
from mlxoss.harmony.grammar.compiler import GrammarCompiler
from mlxoss.harmony.grammar.rules import TurnRules
from tests.support.checkpoints import TinyModel, write_checkpoint
from tests.support.engine.harness import drain, make_request, random_prompt, run_batch, tokens_of

SAMPLINGS = {
    "greedy": SamplingParams(temperature=0.0),
    "sampled": SamplingParams(temperature=1.0),
    "seeded": SamplingParams(temperature=1.0, seed=5),
    "top_p": SamplingParams(temperature=1.0, top_p=0.5, top_k=4),
    "logprobs": SamplingParams(temperature=0.0, top_logprobs=3),
    "penalties": SamplingParams(temperature=0.0, frequency_penalty=1.0),
}


@dataclass
class Spoilt:
    """A real model whose output is ``value`` in some rows, once ``steps`` tokens were decoded."""

    model: LanguageModel
    steps: int = 3
    value: float = float("nan")
    rows: slice = field(default_factory=lambda: slice(0, 1))

    def __post_init__(self) -> None:
        self.args = self.model.args
        self._decoded = 0

    def __call__(self, inputs: mx.array, cache: Any = None) -> mx.array:
        logits = self.model(inputs, cache=cache)
        self._decoded += inputs.shape[1] == 1
        if self._decoded > self.steps:
            logits[self.rows] = self.value
        return logits

    def make_cache(self) -> list[Any]:
        return self.model.make_cache()


@pytest.mark.parametrize("sampling", SAMPLINGS.values(), ids=SAMPLINGS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_it_is_an_error_and_no_text(
    model: LanguageModel, sampling: SamplingParams, value: float
) -> None:
    request = make_request(random_prompt(40), 30, sampling)
    (whole,) = run_batch(MlxBackend(model), [request])
    backend = MlxBackend(Spoilt(model, value=value))
    (spoilt,) = run_batch(backend, [request])
    assert isinstance(spoilt.error, Exception)
    assert "not a number" in str(spoilt.error)
    assert len(spoilt.ids) == 3
    if sampling.temperature == 0.0 or sampling.seed is not None:
        assert spoilt.ids == whole.ids[:3]
    # The batch goes on with whoever comes.
    backend.insert(9, make_request(random_prompt(10), 2))
    outputs = [output for _ in range(8) for output in backend.step()]
    assert any(isinstance(output, SequenceFailed) for output in outputs)


def test_it_spoils_nobody_else(model: LanguageModel) -> None:
    requests = [make_request(random_prompt(40, seed), 20) for seed in range(4)]
    whole = run_batch(MlxBackend(model), requests)
    backend = MlxBackend(Spoilt(model))
    for uid, request in enumerate(requests):
        backend.insert(uid, request)
    ended: dict[int, list[int]] = {uid: [] for uid in range(4)}
    failed: list[int] = []
    for _ in range(12):
        outputs = backend.step()
        failed += [output.uid for output in outputs if isinstance(output, SequenceFailed)]
        for uid, ids in ended.items():
            ids += tokens_of(outputs, uid)
    assert failed[0] == 0
    for uid, outcome in enumerate(whole):
        assert ended[uid] == outcome.ids[: len(ended[uid])]
    assert len(ended[3]) > len(ended[0])


def test_under_a_grammar_it_is_the_same_error(guards: GrammarCompiler, tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, TinyModel(hidden=16))
    model = Spoilt(load_folder(folder), steps=0)
    request = GenerationRequest(
        (200006, 1, 2), 20, STOP_IDS, SAMPLINGS["sampled"], guards.compile(TurnRules())
    )
    backend = MlxBackend(model)
    backend.insert(1, request)
    failures: list[SequenceFailed] = []
    while not failures:
        failures = [each for each in backend.step() if isinstance(each, SequenceFailed)]
    assert isinstance(failures[0].error, NotANumber)


def test_what_was_kept_of_it_is_forgotten(model: LanguageModel) -> None:
    backend = MlxBackend(
        Spoilt(model, steps=6), prefixes=PrefixCache(1 << 30, lambda ids, known: [20])
    )
    prompt = random_prompt(40)
    backend.insert(0, make_request(prompt, 3))
    drain(backend, [0])
    assert backend.prefix_cache.entries > 0
    backend.insert(1, make_request(prompt, 30))
    drain(backend, [1])
    assert backend.prefix_cache.entries == 0


def test_a_model_whose_numbers_overflow_is_refused_when_it_is_loaded(
    model: LanguageModel,
) -> None:
    with pytest.raises(ModelError, match="output is not a number"):
        make_room(Spoilt(model, steps=0), 1 << 40, 8)
