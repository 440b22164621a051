"""The engine's logits are transformers' and OpenAI's, however it comes to compute them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from numpy.typing import NDArray

from mlxoss.core import SamplingParams
from mlxoss.engine.batch import LanguageModel, MlxBackend
from mlxoss.engine.checkpoint.loader import load_folder
from mlxoss.engine.disk_tier import LEAST_TOKENS
from mlxoss.engine.model import LastLogits
from mlxoss.harmony.guards import Guards
from tests.engine.harness import (
    GREEDY,
    collect,
    drain,
    run_batch,
    running_engine,
)
from tests.reference.asking import ask, check, check_each, follow
from tests.reference.golden import POSITIONS, Golden
from tests.reference.history import History, nearest

SHORT = [position for position in POSITIONS if position <= 1000]
LONG = [position for position in POSITIONS if position > 1000]
PATHS = ((50, 130), (480, 500), (991, 1000), (4092, 4100), (5991, 6000))
"""From a position to another, within reach of a snapshot; all ``POSITIONS`` after 50 are there."""


@pytest.mark.parametrize("chunk", [7, 77, 128, 2048])
def test_prefill_in_chunks(model: LanguageModel, reference: Golden, chunk: int) -> None:
    backend = MlxBackend(model, prefill_step_tokens=chunk)
    assert not any(check_each(reference, backend, SHORT))


def test_prefill_of_the_whole_text(history: History, reference: Golden) -> None:
    assert check(reference, 6000, history.outcome) == [6000]


def test_a_batch_of_unequal_lengths(
    model: LanguageModel, reference: Golden, guards: Guards
) -> None:
    """Cold; one goes on from 4,095 while the longest is prefilled."""
    ends = {position: position for position in (*SHORT, 6000)} | {4095: 4100}
    backend = MlxBackend(model, max_batch=len(ends))
    requests = [follow(reference, guards, first, last) for first, last in ends.items()]
    outcomes = run_batch(backend, requests)
    compared = [
        position
        for first, outcome in zip(ends, outcomes, strict=True)
        for position in check(reference, first, outcome)
    ]
    assert sorted(compared) == sorted(POSITIONS)


def test_step_by_step_from_the_beginning(
    model: LanguageModel, reference: Golden, guards: Guards
) -> None:
    [outcome] = run_batch(MlxBackend(model), [follow(reference, guards, 0, 140)])
    assert check(reference, 0, outcome) == [p for p in POSITIONS if p <= 140]


def test_step_by_step_together(history: History, reference: Golden, guards: Guards) -> None:
    backend = history.backend()
    outcomes = run_batch(backend, [follow(reference, guards, *path) for path in PATHS])
    for (first, last), outcome in zip(PATHS, outcomes, strict=True):
        assert check(reference, first, outcome) == [p for p in POSITIONS if first <= p <= last]


def test_snapshots_in_memory(history: History, reference: Golden) -> None:
    cached = check_each(reference, history.backend(), POSITIONS)
    assert all(length >= nearest(p) for p, length in zip(POSITIONS, cached, strict=True))


def test_a_batch_of_snapshots(history: History, reference: Golden) -> None:
    backend = history.backend(max_batch=len(POSITIONS))
    outcomes = run_batch(backend, [ask(reference, position) for position in POSITIONS])
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
            for length, row in zip(cache[0].offset.tolist(), logits, strict=True):
                self.heard[length - 1] = np.array(row[-1])
        return logits


def hear_runs(backend: MlxBackend, heard: Heard) -> list[list[int]]:
    """Step until nothing is left; how many ids each step's runs had, row by row."""
    lengths = []
    while plan := backend.plan_step():
        heard.is_next = any(plan.runs)
        if heard.is_next:
            lengths.append([len(run) for run in plan.runs])
        backend.run_step(plan)
        if not backend._rows:
            break
    return lengths


@pytest.mark.parametrize(("first", "last"), [(0, 100), (0, 127), (0, 128), (90, 129), (99, 130),
    (129, 500), (499, 1000), (3999, 4095), (4089, 4096), (4095, 4097), (4095, 4098), (4095, 4099),
    (4095, 4100), (5989, 6000)])  # fmt: skip
def test_forced_runs(
    history: History, reference: Golden, guards: Guards, first: int, last: int
) -> None:
    """What a grammar leaves no choice about goes through the model at once."""
    heard = Heard(history.model)
    backend = history.backend(heard)
    backend.insert(0, follow(reference, guards, first, last, GREEDY))
    # The first of them is due, and the others go along with it.
    assert hear_runs(backend, heard) == [[last - first - 1]]
    reference.check_logits(last, heard.heard[last])


def test_forced_runs_in_a_batch(history: History, reference: Golden, guards: Guards) -> None:
    heard = Heard(history.model)
    backend = history.backend(heard)
    ends = (100, 129, 500, 1000, 4095, 4098, 6000)
    for uid, last in enumerate(ends):
        backend.insert(uid, follow(reference, guards, last - 9, last, GREEDY))
    assert hear_runs(backend, heard)[-1] == [8] * len(ends)
    assert sorted(heard.heard) == list(ends)
    for position, logits in heard.heard.items():
        reference.check_logits(position, logits)


def test_after_a_forced_run_its_snapshot(
    history: History, reference: Golden, guards: Guards
) -> None:
    """Keys and values of a run are those of its ids one by one."""
    backend = history.backend()
    for first, last in ((130, 500), (500, 1000), (4000, 4100)):
        other = SamplingParams(temperature=0.0)
        backend.insert(0, follow(reference, guards, first, last - 1, other))
        drain(backend, [0])
        [cached] = check_each(reference, backend, [last])
        assert cached == last


@pytest.mark.anyio
async def test_on_the_engines_own_thread(folder: Path, reference: Golden, guards: Guards) -> None:
    async with running_engine(lambda: MlxBackend(load_folder(folder)), max_batch=4) as running:
        generations = [running.engine.submit(ask(reference, position)) for position in SHORT]
        generations.append(running.engine.submit(follow(reference, guards, 90, 130)))
        outcomes = await asyncio.gather(*(collect(generation) for generation in generations))
    for first, outcome in zip((*SHORT, 90), outcomes, strict=True):
        assert check(reference, first, outcome)
