"""The model unloaded and loaded by hand."""

from __future__ import annotations

import asyncio
import random

import pytest

from mlxoss.engine.idling import Idling
from mlxoss.engine.status import EngineState
from mlxoss.errors import ModelError, ModelUnavailable
from tests.engine.test_idle import SOON_S, Loads
from tests.support.engine.harness import Running, collect, make_request, running_engine, until

pytestmark = pytest.mark.anyio


def state(running: Running) -> EngineState:
    return running.engine.status().state


async def test_by_hand_it_is_unloaded_and_loaded() -> None:
    loads = Loads()
    async with running_engine(loads) as running:
        await running.engine.unload()  # while it loads
        for count in (1, 2):
            assert state(running) is EngineState.UNLOADED
            assert [backend.closed for backend in loads.made] == [True] * count
            await running.engine.unload()
            await running.engine.load()
            await running.engine.load()
            assert state(running) is EngineState.OK
            assert len(loads.made) == count + 1
            await running.engine.unload()
        assert (await collect(running.engine.submit(make_request([1], max_tokens=2)))).ids == [0, 1]
    assert all(backend.closed for backend in loads.made)
    assert running.fatal == []


async def test_what_runs_is_answered_before_it_is_unloaded_and_what_waits_after() -> None:
    loads = Loads()
    async with running_engine(loads, max_batch=1) as running:
        await running.engine.load()
        loads.made[0].gate.clear()
        submit = running.engine.submit
        first, second = submit(make_request([1], 3)), submit(make_request([2], 3))
        await until(lambda: running.engine.status().active == 1)
        unloading = [asyncio.create_task(running.engine.unload()) for _ in range(2)]
        await asyncio.sleep(0)
        late = submit(make_request([3], 3))
        running.engine.warm((1, 2))
        unloading[0].cancel()  # the other still wants it
        await until(unloading[0].done)
        loads.made[0].gate.set()
        outcomes = await asyncio.gather(*map(collect, (first, second, late)))
        assert [outcome.ids for outcome in outcomes] == [[0, 1, 2]] * 3
        await unloading[1]
        asked = [[request.prompt_ids for request in backend.inserted] for backend in loads.made]
        assert asked == [[(1,)], [(2,), (3,)]]


async def test_an_unload_that_is_cancelled_is_taken_back() -> None:
    loads = Loads()
    async with running_engine(loads) as running:
        await running.engine.load()
        loads.made[0].gate.clear()
        generation = running.engine.submit(make_request([1], 3))
        unloading = asyncio.create_task(running.engine.unload())
        await asyncio.sleep(0)
        unloading.cancel()
        await until(unloading.done)
        loads.made[0].gate.set()
        assert (await collect(generation)).ending == "finished"
        assert (await collect(running.engine.submit(make_request([1], 3)))).ending == "finished"
        assert state(running) is EngineState.OK
        assert len(loads.made) == 1


async def test_who_waits_for_a_model_that_fails_or_an_engine_that_closes_is_told() -> None:
    loads = Loads()
    loads.errors.append(ModelError("the folder is gone"))
    async with running_engine(loads) as running:
        await running.engine.unload()
        with pytest.raises(ModelUnavailable, match="the folder is gone"):
            await running.engine.load()
        with pytest.raises(ModelUnavailable, match="the folder is gone"):
            await running.engine.unload()
    held = Loads()
    async with running_engine(held) as running:
        await running.engine.load()
        held.made[0].gate.clear()
        generation = running.engine.submit(make_request([1], 3))
        unloading = asyncio.create_task(running.engine.unload())
        await asyncio.sleep(0)
        closing = asyncio.create_task(running.engine.close())
        with pytest.raises(ModelUnavailable, match="stopping"):
            await unloading
        held.made[0].gate.set()
        await closing
        assert (await collect(generation)).ending == "failed"


async def test_any_order_of_loads_unloads_and_requests_ends() -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")  # noqa: T201
    rng = random.Random(seed)
    loads = Loads()
    async with running_engine(loads, max_batch=2, idling=Idling(unload_s=SOON_S / 10)) as running:

        async def act() -> None:
            for _ in range(30):
                match rng.randrange(5):
                    case 0:
                        await running.engine.load()
                    case 1:
                        await running.engine.unload()
                    case 2:
                        unloading = asyncio.create_task(running.engine.unload())
                        await asyncio.sleep(rng.random() / 1000)
                        unloading.cancel()
                    case _:
                        generation = running.engine.submit(make_request([1], rng.randrange(1, 5)))
                        assert (await collect(generation)).ending == "finished"
                await asyncio.sleep(rng.choice((0, 0.001, SOON_S / 8)))

        await asyncio.gather(*(act() for _ in range(4)))
        await running.engine.unload()
        await running.engine.load()
        status = running.engine.status()
        assert (status.active, status.waiting, status.state) == (0, 0, EngineState.OK)
    assert all(backend.closed for backend in loads.made)
    assert running.fatal == []
