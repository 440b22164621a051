"""The engine with MLX on its own thread: loaded, stepped, cancelled, broken and closed there."""

from __future__ import annotations

import asyncio
import gc
import random
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest

from mlxoss.core import SamplingParams
from mlxoss.engine.checkpoint.loader import load_folder
from mlxoss.engine.generation import Generation
from mlxoss.engine.mlx.batch import LanguageModel, MlxBackend
from mlxoss.engine.status import EngineState
from mlxoss.errors import GenerationFailed
from tests.support.checkpoints import FULL_VOCAB, write_checkpoint
from tests.support.engine.harness import (
    SMALL_VOCAB,
    Outcome,
    RaiseOnce,
    WatchedModel,
    collect,
    greedy_reference,
    make_request,
    running_engine,
    until,
)

pytestmark = pytest.mark.anyio

Load = Callable[[], MlxBackend]


def loading(folder: Path, before: Callable[[int, int], None] | None = None, **options: Any) -> Load:
    def load() -> MlxBackend:
        model = load_folder(folder)
        return MlxBackend(model if before is None else WatchedModel(model, before), **options)

    return load


def prompt(length: int) -> list[int]:
    return random.Random(length).sample(range(SMALL_VOCAB), length)


async def test_eight_at_once_equal_mlx_lm(checkpoint: Path, model: LanguageModel) -> None:
    requests = [make_request(prompt(length), 30) for length in (3, 400, 128, 1, 129, 64, 200, 127)]
    async with running_engine(loading(checkpoint)) as running:
        generations = [running.engine.submit(request) for request in requests]
        outcomes = await asyncio.gather(*(collect(generation) for generation in generations))
    assert [o.ids for o in outcomes] == [greedy_reference(model, r) for r in requests]


class HeldPrefill:
    """Holds the model in its first prefill chunk until ``go``; counts the chunks."""

    def __init__(self) -> None:
        self.chunks = 0
        self.go = threading.Event()

    def __call__(self, rows: int, tokens: int) -> None:
        if tokens > 1:
            self.chunks += 1
            self.go.wait()


async def test_cancel_in_prefill_stops_after_the_chunk(
    checkpoint: Path, model: LanguageModel
) -> None:
    held = HeldPrefill()
    load = loading(checkpoint, held, prefill_step_tokens=64)
    async with running_engine(load, max_batch=1) as running:
        long = running.engine.submit(make_request(prompt(500)))
        request = make_request(prompt(20))
        waiting = running.engine.submit(make_request(prompt(10)))
        next_one = running.engine.submit(request)
        await until(lambda: held.chunks == 1)
        waiting.cancel()
        long.cancel()
        held.go.set()
        assert (await collect(next_one)).ids == greedy_reference(model, request)
        assert [(await collect(g)).ending for g in (waiting, long)] == ["cancelled"] * 2
    assert held.chunks == 2


async def test_cancel_in_decode_leaves_the_others_alone(
    checkpoint: Path, model: LanguageModel
) -> None:
    async with running_engine(loading(checkpoint)) as running:
        kept = make_request(prompt(140), 40)
        generation = running.engine.submit(kept)
        other = running.engine.submit(make_request(prompt(150), 4000))
        await anext(other)
        other.cancel()
        assert (await collect(generation)).ids == greedy_reference(model, kept)
        assert (await collect(other)).ending == "cancelled"
        assert running.engine.status().active == 0


async def test_a_step_that_raises_and_the_requests_after_it(
    checkpoint: Path, model: LanguageModel
) -> None:
    poison = RaiseOnce(RuntimeError("device lost"))
    async with running_engine(loading(checkpoint, poison), max_batch=2) as running:
        hit = [running.engine.submit(make_request(prompt(n), 4000)) for n in (5, 150)]
        await anext(hit[0])
        request = make_request(prompt(90), 20)
        spared = running.engine.submit(request)
        poison.armed.set()
        outcomes = [await collect(generation) for generation in hit]
        assert all(isinstance(outcome.error, GenerationFailed) for outcome in outcomes)
        assert "device lost" in str(outcomes[0].error)
        assert (await collect(spared)).ids == greedy_reference(model, request)
        assert running.engine.status().state is EngineState.OK


def random_sampling(rng: random.Random) -> SamplingParams:
    return SamplingParams(
        temperature=rng.choice([0.0, 0.7, 1.0]),
        top_p=rng.choice([1.0, 0.9]),
        top_k=rng.choice([0, 40]),
        min_p=rng.choice([0.0, 0.05]),
        presence_penalty=rng.choice([0.0, 1.0]),
        repetition_penalty=rng.choice([1.0, 1.2]),
        logit_bias=rng.choice([{}, {7: 5.0}]),
        seed=rng.choice([None, 5]),
        top_logprobs=rng.choice([None, None, 0, 3]),
    )


async def test_a_hundred_mixed_requests_with_random_cancels(checkpoint: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201
    rng = random.Random(seed)
    load = loading(checkpoint, prefill_step_tokens=64)

    async def leave_after(generation: Generation, tokens: int) -> Outcome:
        task = asyncio.create_task(collect(generation))
        seen = 0
        while seen < tokens and not task.done():
            await asyncio.sleep(0.002)
            seen += 1
        generation.cancel()
        return await task

    async with running_engine(load, max_batch=8, max_queue=100) as running:
        outcomes = []
        for _ in range(100):
            request = make_request(
                prompt(rng.randint(1, 200)),
                rng.randint(1, 30),
                random_sampling(rng),
                stop_ids=rng.sample(range(SMALL_VOCAB), 20),
            )
            generation = running.engine.submit(request)
            patience = rng.choice([0, 1, 20, 200, 10_000, 10_000, 10_000])
            outcomes.append(asyncio.create_task(leave_after(generation, patience)))
            if rng.random() < 0.3:
                await asyncio.sleep(rng.random() * 0.02)
        endings = Counter([(await outcome).ending for outcome in outcomes])
        status = running.engine.status()
        assert (status.active, status.waiting) == (0, 0)
        assert status.state is EngineState.OK
    assert endings.total() == 100
    assert set(endings) == {"finished", "cancelled"}


async def test_close_in_mid_batch_gives_the_memory_back(checkpoint: Path) -> None:
    gc.collect()
    mx.clear_cache()
    before = mx.get_active_memory()
    async with running_engine(loading(checkpoint)) as running:
        generations = [running.engine.submit(make_request(prompt(200), 4000)) for _ in range(3)]
        await anext(generations[0])
        assert mx.get_active_memory() > before + 1_000_000
    assert mx.get_active_memory() <= before + 100_000
    assert {(await collect(generation)).ending for generation in generations} == {"failed"}


async def test_the_full_vocabulary(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path)
    sampling = SamplingParams(top_p=0.95, seed=1, top_logprobs=20)
    async with running_engine(loading(folder)) as running:
        outcome = await collect(running.engine.submit(make_request([200006], 5, sampling)))
    assert outcome.ending == "finished"
    assert all(0 <= token.token_id < FULL_VOCAB for token in outcome.tokens)
    for token in outcome.tokens:
        assert token.logprob is not None
        assert len(token.logprob.top) == 20
