"""The engine's logits are transformers' and OpenAI's, however it comes to compute them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file

from mlxoss.core import GenerationRequest
from mlxoss.engine.backend import SequenceOutput, SequencePrefilled
from mlxoss.engine.checkpoint.loader import load_folder
from mlxoss.engine.mlx.batch import LanguageModel, MlxBackend
from mlxoss.engine.mlx.last_logits import LastLogits
from mlxoss.engine.prefix_cache.disk import LEAST_TOKENS
from mlxoss.harmony.grammar.compiler import GrammarCompiler
from tests.reference.make_golden import to_transformers
from tests.support.checkpoints import write_quantised
from tests.support.engine.harness import (
    GREEDY,
    collect,
    drain,
    run_batch,
    running_engine,
)
from tests.support.reference.asking import check, check_each, follow, request_after
from tests.support.reference.checkpoint import Weights, make_config
from tests.support.reference.golden import POSITIONS, TOLERANCE, Golden
from tests.support.reference.history import History, nearest
from tests.support.reference.judge import find_judge

SHORT = [position for position in POSITIONS if position <= 1000]
LONG = [position for position in POSITIONS if position > 1000]
PATHS = ((90, 130), (490, 500), (990, 1000), (4090, 4100), (5990, 6000))
"""From a position to another, near a snapshot; all ``POSITIONS`` from 100 on are there."""


@pytest.mark.parametrize("chunk", [7, 77, 128, 2048])
def test_prefill_in_chunks(model: LanguageModel, reference: Golden, chunk: int) -> None:
    backend = MlxBackend(model, prefill_step_tokens=chunk)
    assert not any(check_each(reference, backend, SHORT))


@pytest.mark.slow
def test_prefill_of_the_whole_text(history: History, reference: Golden) -> None:
    assert check(reference, 6000, history.outcome) == [6000]


@pytest.mark.slow
def test_a_batch_of_unequal_lengths(
    model: LanguageModel, reference: Golden, guards: GrammarCompiler
) -> None:
    """Cold; one goes on from 4,095 while the longest is prefilled."""
    ends = {position: position for position in (*SHORT, 6000)} | {4095: 4100}
    backend = MlxBackend(model, max_batch=len(ends), prefill_step_tokens=512)
    requests = [follow(reference, guards, first, last) for first, last in ends.items()]
    outcomes = run_batch(backend, requests)
    compared = [
        position
        for first, outcome in zip(ends, outcomes, strict=True)
        for position in check(reference, first, outcome)
    ]
    assert sorted(compared) == sorted(POSITIONS)


def test_step_by_step_from_the_beginning(
    model: LanguageModel, reference: Golden, guards: GrammarCompiler
) -> None:
    [outcome] = run_batch(MlxBackend(model), [follow(reference, guards, 0, 140)])
    assert check(reference, 0, outcome) == [p for p in POSITIONS if p <= 140]


@pytest.mark.slow
def test_step_by_step_together(
    history: History, reference: Golden, guards: GrammarCompiler
) -> None:
    backend = history.backend()
    outcomes = run_batch(backend, [follow(reference, guards, *path) for path in PATHS])
    for (first, last), outcome in zip(PATHS, outcomes, strict=True):
        assert check(reference, first, outcome) == [p for p in POSITIONS if first <= p <= last]


def test_snapshots_in_memory(history: History, reference: Golden) -> None:
    cached = check_each(reference, history.backend(), POSITIONS)
    assert all(length >= nearest(p) for p, length in zip(POSITIONS, cached, strict=True))


def test_a_batch_of_snapshots(history: History, reference: Golden) -> None:
    backend = history.backend(max_batch=len(POSITIONS))
    outcomes = run_batch(backend, [request_after(reference, position) for position in POSITIONS])
    for position, outcome in zip(POSITIONS, outcomes, strict=True):
        check(reference, position, outcome)


def test_snapshots_on_the_disk(history: History, reference: Golden) -> None:
    positions = [p for p in POSITIONS if nearest(p) >= LEAST_TOKENS]
    for position in positions:
        backend = history.restarted()
        [cached] = check_each(reference, backend, [position])
        assert backend.prefix_cache.disk_hits == 1
        assert cached > position / 2
    assert set(LONG) < set(positions)


class Heard(LastLogits):
    """Keeps the logits of its next call by the position of each row once ``is_next`` is set."""

    def __init__(self, model: LanguageModel) -> None:
        super().__init__(model)
        self.is_next = False
        self.heard: dict[int, NDArray[np.float32]] = {}

    def __call__(self, inputs: mx.array, cache: Any = None) -> mx.array:
        logits = super().__call__(inputs, cache)
        if self.is_next:
            self.is_next = False
            offset = cache[0].offset  # a number in the caches of one row
            lengths = [offset] if isinstance(offset, int) else offset.tolist()
            for length, row in zip(lengths, logits, strict=True):
                self.heard[length - 1] = np.array(row[-1])
        return logits


def hear_runs(
    history: History, requests: Sequence[GenerationRequest]
) -> tuple[list[list[int]], Heard]:
    """Run them as a batch; how many ids each step's runs had, row by row, and what was heard."""
    heard = Heard(history.model)
    backend = history.backend(heard)
    for uid, request in enumerate(requests):
        backend.insert(uid, request)
    lengths, left = [], set(range(len(requests)))
    while left:
        plan = backend.plan_step()
        heard.is_next = any(plan.runs)
        if heard.is_next:
            lengths.append([len(run) for run in plan.runs])
        for output in backend.run_step(plan):
            assert isinstance(output, SequenceOutput | SequencePrefilled)
            if isinstance(output, SequenceOutput) and output.token.finish is not None:
                left.discard(output.uid)
    return lengths, heard


@pytest.mark.parametrize(("first", "last"), [(0, 100), (0, 127), (1, 128), (90, 129), (99, 130),
    (129, 500), (500, 1000), (4000, 4095), (4085, 4096), (4090, 4097), (4095, 4098), (4095, 4099),
    (4095, 4100), (5990, 6000)])  # fmt: skip
def test_forced_runs(
    history: History, reference: Golden, guards: GrammarCompiler, first: int, last: int
) -> None:
    """What a grammar leaves no choice about goes through the model at once."""
    lengths, heard = hear_runs(history, [follow(reference, guards, first, last, GREEDY)])
    # The first id goes alone, and the others along with the second.
    assert lengths == [[last - first - 2]]
    assert list(heard.heard) == [last]
    reference.check_logits(last, heard.heard[last])


def test_forced_runs_in_a_batch(
    history: History, reference: Golden, guards: GrammarCompiler
) -> None:
    """Rows of unequal lengths, whose windows have gone round unequally far."""
    ends = (100, 129, 500, 1000, 4095, 4098, 6000)
    requests = [follow(reference, guards, last - 9, last, GREEDY) for last in ends]
    lengths, heard = hear_runs(history, requests)
    assert lengths == [[7] * len(ends)]
    assert sorted(heard.heard) == list(ends)
    for position, logits in heard.heard.items():
        reference.check_logits(position, logits)


def test_after_a_forced_run_its_snapshot(
    history: History, reference: Golden, guards: GrammarCompiler
) -> None:
    """Keys and values of a run are those of its ids one by one."""
    backend = history.backend()
    for first, last in ((400, 500), (990, 1000), (4085, 4097)):
        # It ends amid what the grammar leaves no choice about: all of it is the text's own.
        request = follow(reference, guards, first, last + 2, GREEDY)
        backend.insert(0, replace(request, max_tokens=last - 1 - first))
        drain(backend, [0])
        [cached] = check_each(reference, backend, [last])
        assert cached == last


@pytest.mark.anyio
async def test_on_the_engines_own_thread(
    folder: Path, reference: Golden, guards: GrammarCompiler
) -> None:
    async with running_engine(lambda: MlxBackend(load_folder(folder)), max_batch=4) as running:
        generations = [
            running.engine.submit(request_after(reference, position)) for position in SHORT
        ]
        generations.append(running.engine.submit(follow(reference, guards, 90, 130)))
        outcomes = await asyncio.gather(*(collect(generation) for generation in generations))
    for first, outcome in zip((*SHORT, 90), outcomes, strict=True):
        assert check(reference, first, outcome)


def save_as_transformers(folder: Path, weights: Weights) -> Path:
    """What ``save_pretrained`` of transformers 5 writes: its own layout, ``rope_parameters``."""
    config = make_config()
    rope = config.pop("rope_scaling") | {"rope_theta": config.pop("rope_theta")}
    (folder / "config.json").write_text(json.dumps(config | {"rope_parameters": rope}))
    save_file(to_transformers(weights), folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def test_as_transformers_saves_it(tmp_path: Path, weights: Weights, reference: Golden) -> None:
    model = load_folder(save_as_transformers(tmp_path, weights))
    check_each(reference, MlxBackend(model), SHORT)


@pytest.mark.parametrize(("bits", "mode"), [(8, "affine"), (4, "mxfp4"), (8, "mixed")])
def test_quantised_it_is_the_numpy_models(
    tmp_path: Path, folder: Path, reference: Golden, bits: int, mode: str
) -> None:
    """The logits of what was quantised are others, and so the weights are dequantised for these."""
    model = load_folder(write_quantised(tmp_path / mode, folder, bits=bits, mode=mode))
    judge = find_judge(model)
    assert judge is not None
    ids = reference.ids[:1001]
    expected = judge.logits(ids, SHORT)
    for position, logits in zip(SHORT, expected, strict=True):
        [outcome] = run_batch(MlxBackend(model), [request_after(reference, position)])
        said = outcome.tokens[0].logprob
        assert said is not None
        exact = logits - np.logaddexp.reduce(logits)
        assert outcome.ids == [int(logits.argmax())]
        assert max(abs(exact[id_] - value) for id_, value in said.top) < TOLERANCE
