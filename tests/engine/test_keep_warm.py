"""The GPU is given a moment's work now and then, for a while after a step, and in nobody's way."""

from __future__ import annotations

import gc
import random
import threading

import mlx.core as mx
import pytest

from mlxoss.engine.idling import REST_S, TICK_S, Deed, Idling
from mlxoss.engine.mlx.batch import LanguageModel, MlxBackend
from mlxoss.engine.mlx.device import spark
from tests.support.engine.harness import (
    collect,
    greedy_reference,
    make_request,
    random_prompt,
    running_engine,
    until,
)
from tests.support.fakes import ScriptedBackend

pytestmark = pytest.mark.anyio

LONG_S = 100.0
SPARK_BYTES = 2 * 256 * 256


def ticks_of(idling: Idling, ran_s: float) -> list[float]:
    return [at_s for at_s, deed in idling.deeds(ran_s) if deed is Deed.KEEP_WARM]


def test_what_is_done_and_when() -> None:
    seed = random.randrange(1 << 30)
    rng = random.Random(seed)
    for _ in range(200):
        unload_s = rng.choice([None, rng.uniform(0.01, 1000)])
        idling = Idling(unload_s, rng.choice([0, rng.uniform(0, 100)]), let_go_s=600)
        ran_s = rng.choice([0.0, rng.uniform(0, 200), float("inf")])
        found = list(idling.deeds(ran_s))
        end_s = float("inf") if unload_s is None else unload_s
        times = [at_s for at_s, _ in found]
        assert times == sorted(times), f"seed {seed}"
        assert not times or times[-1] <= end_s, f"seed {seed}"
        assert [at_s for at_s, deed in found if deed is Deed.REST] == [min(REST_S, end_s)]
        assert [at_s for at_s, deed in found if deed is Deed.LET_GO] == [600] * (end_s > 600)
        last = min(idling.keep_warm_s - ran_s, end_s)
        ticks = ticks_of(idling, ran_s)
        assert len(ticks) == int(max(0.0, last) / TICK_S), f"seed {seed}"
        assert all(at_s <= last + 1e-9 for at_s in ticks), f"seed {seed}"


def test_as_it_is_the_gpu_is_left_alone() -> None:
    assert ticks_of(Idling(), 0.0) == []


async def test_only_after_a_step_and_only_while_it_may() -> None:
    backend = ScriptedBackend(lambda request: range(10_000))
    asked: list[str] = []
    mains = threading.Event()

    def may() -> bool:
        asked.append(threading.current_thread().name)
        return mains.is_set()

    idling = Idling(keep_warm_s=LONG_S, may_keep_warm=may)
    async with running_engine(lambda: backend, idling=idling) as running:
        await until(lambda: backend.rested > 0)
        assert (asked, backend.ticks) == ([], 0)
        await collect(running.engine.submit(make_request([1], max_tokens=3)))
        await until(lambda: len(asked) >= 3)
        assert backend.ticks == 0
        mains.set()
        await until(lambda: backend.ticks >= 2)
        mains.clear()
        some = len(asked)
        await until(lambda: len(asked) > some + 1)
        ticks = backend.ticks
        await until(lambda: len(asked) > some + 3)
        assert backend.ticks == ticks
    assert set(asked) == {"mlxoss-engine"}


async def test_what_fails_is_not_tried_again_and_does_no_harm(
    caplog: pytest.LogCaptureFixture,
) -> None:
    backend = ScriptedBackend(lambda request: range(10_000), tick_errors=[RuntimeError("lost")])
    async with running_engine(lambda: backend, idling=Idling(keep_warm_s=LONG_S)) as running:
        for _ in range(2):
            outcome = await collect(running.engine.submit(make_request([1], max_tokens=3)))
            assert outcome.ids == [0, 1, 2]
            await until(lambda: not backend.tick_errors)
    assert caplog.text.count("the GPU is not kept warm any more") == 1
    assert running.fatal == []


async def test_nor_in_the_same_pause(caplog: pytest.LogCaptureFixture) -> None:
    errors: list[Exception] = [RuntimeError("lost"), RuntimeError("lost again")]
    backend = ScriptedBackend(lambda request: range(10_000), tick_errors=errors)
    idling = Idling(keep_warm_s=LONG_S, let_go_s=5 * TICK_S)
    async with running_engine(lambda: backend, idling=idling) as running:
        await collect(running.engine.submit(make_request([1], max_tokens=3)))
        await until(lambda: backend.let_gone > 0)
    assert (len(errors), backend.ticks) == (1, 0)
    assert caplog.text.count("the GPU is not kept warm any more") == 1


async def test_a_real_backend_s_tokens_are_the_same_between_real_ticks(
    model: LanguageModel,
) -> None:
    ticks: list[int] = []
    backends: list[MlxBackend] = []

    class Counted(MlxBackend):
        def keep_warm(self) -> None:
            super().keep_warm()
            ticks.append(mx.get_active_memory())

    def load() -> MlxBackend:
        backends.append(Counted(model))
        return backends[-1]

    async with running_engine(load, idling=Idling(keep_warm_s=LONG_S)) as running:
        for seed in (1, 2):
            request = make_request(random_prompt(40, seed), 5)
            outcome = await collect(running.engine.submit(request))
            assert outcome.ids == greedy_reference(model, request)
            before = len(ticks)
            await until(lambda: len(ticks) >= before + 3)  # noqa: B023 - awaited at once
            assert len(set(ticks[before + 1 :])) == 1  # what they use stays the same


def test_a_spark_leaves_nothing_in_memory() -> None:
    gc.collect()  # of tests before this one
    before = mx.get_active_memory()
    sparks = 20
    for _ in range(sparks):
        spark()
    # less is fine: a thread of another test may end meanwhile, and free what it held
    assert mx.get_active_memory() < before + sparks * SPARK_BYTES
