"""A place that one request keeps over several rounds, on a backend that replays given tokens."""

from __future__ import annotations

import asyncio
import random
import secrets
import sys

import pytest

from mlxoss.core import GenerationRequest
from mlxoss.engine.held_place import HeldPlace
from mlxoss.engine.status import EngineState
from mlxoss.errors import GenerationCancelled, ModelUnavailable, QueueFull
from tests.engine.test_idle import Loads
from tests.engine.test_pauses_order import asked, loading_engine, narrow, seen
from tests.support.engine.harness import collect, running_engine, until
from tests.support.fakes import ScriptedBackend

pytestmark = pytest.mark.anyio

FULL = list(range(10))


def counting() -> ScriptedBackend:
    return ScriptedBackend(lambda request: range(10_000))


def firsts(backend: ScriptedBackend) -> list[int]:
    return [request.prompt_ids[0] for request in backend.inserted]


async def test_later_rounds_are_not_refused_and_go_before_who_waits() -> None:
    backend = counting()
    async with running_engine(lambda: backend, max_batch=1, max_queue=2) as running:
        engine = running.engine
        place = engine.hold()
        assert (await collect(place.submit(asked(1)))).ids == FULL
        backend.gate.clear()
        others = [engine.submit(asked(n)) for n in (10, 20)]
        await until(lambda: engine.status().active == 1)
        with pytest.raises(QueueFull):
            engine.submit(asked(30))
        with pytest.raises(QueueFull):
            engine.hold()
        assert engine.status().refused == 2
        second = place.submit(asked(2))
        assert [engine.place(each.uid).number for each in (second, others[1])] == [1, 2]  # type: ignore[union-attr]
        backend.gate.set()
        for generation in (second, *others):
            assert (await collect(generation)).ids == FULL
        assert firsts(backend) == [1, 10, 2, 20]
        place.give_back()
        assert (await collect(engine.submit(asked(30)))).ids == FULL


async def test_no_slot_is_held_between_rounds() -> None:
    backend = counting()
    async with running_engine(lambda: backend, max_batch=1, max_queue=1) as running:
        place = running.engine.hold()
        await collect(place.submit(asked(1)))
        assert seen(running) == (0, 0, 0)
        assert (await collect(running.engine.submit(asked(10)))).ids == FULL
        assert (await collect(place.submit(asked(2)))).ids == FULL
        place.give_back()


async def test_a_first_round_waits_its_turn() -> None:
    backend = counting()
    async with loading_engine(backend, max_batch=1) as running:
        backend.gate.clear()
        place = running.engine.hold()
        other = running.engine.submit(asked(10))
        first = place.submit(asked(1))
        running.start.set()
        backend.gate.set()
        for generation in (other, first):
            await collect(generation)
        assert firsts(backend) == [10, 1]
        place.give_back()


async def test_later_rounds_go_first_come_first_served_and_background_ones_last() -> None:
    backend = counting()
    async with loading_engine(backend, max_batch=1, max_queue=9) as running:
        engine = running.engine
        running.start.set()
        places = {n: engine.hold() for n in (1, 2, 3)}
        for n, place in places.items():
            await collect(place.submit(asked(n, is_background=n == 3)))
        backend.gate.clear()
        running_now = engine.submit(asked(10))
        await until(lambda: engine.status().active == 1)
        waiting = [engine.submit(asked(20)), engine.submit(asked(30, is_background=True))]
        rounds = [places[n].submit(asked(n, is_background=n == 3)) for n in (3, 2, 1)]
        backend.gate.set()
        for generation in (running_now, *rounds, *waiting):
            assert (await collect(generation)).ids == FULL
        assert firsts(backend)[3:] == [10, 2, 1, 20, 3, 30]


async def test_a_later_round_is_as_old_as_its_request_where_memory_gets_tight() -> None:
    backend = narrow(17)
    async with loading_engine(backend, max_batch=2) as running:
        place = running.engine.hold()
        running.start.set()
        await collect(place.submit(asked(1, 1)))
        backend.gate.clear()
        younger = running.engine.submit(asked(10))
        await until(lambda: running.engine.status().active == 1)
        later = place.submit(asked(2))
        backend.gate.set()
        assert [(await collect(one)).ids for one in (later, younger)] == [FULL, FULL]
        assert running.engine.status().pauses == 1
        # The younger request pauses, although its sequence came first.
        assert firsts(backend) == [1, 10, 2, 10]
        place.give_back()


async def test_who_is_paused_goes_on_before_a_later_round() -> None:
    backend = narrow(12)
    async with loading_engine(backend, max_batch=3, max_queue=3) as running:
        place = running.engine.hold()
        running.start.set()
        await collect(place.submit(asked(1, 1)))
        backend.gate.clear()
        both = [running.engine.submit(asked(n)) for n in (10, 20)]
        await until(lambda: running.engine.status().active >= 1)
        while not running.engine.status().paused:
            backend.gate.set()
            backend.gate.clear()
            await asyncio.sleep(0.001)
        later, other = place.submit(asked(2)), running.engine.submit(asked(30))
        backend.gate.set()
        for generation in (*both, later, other):
            assert (await collect(generation)).ids == FULL
        order = firsts(backend)
        assert order.index(20, order.index(20) + 1) < order.index(2) < order.index(30)
        place.give_back()


async def test_a_round_that_is_cancelled_leaves_the_place_to_its_request() -> None:
    backend = counting()
    async with running_engine(lambda: backend, max_batch=1, max_queue=0) as running:
        place = running.engine.hold()
        backend.gate.clear()
        first = place.submit(asked(1, 1000))
        await until(lambda: running.engine.status().active == 1)
        first.cancel()
        with pytest.raises(GenerationCancelled):
            await anext(first)
        with pytest.raises(QueueFull):
            running.engine.submit(asked(10))
        second = place.submit(asked(2))
        backend.gate.set()
        assert (await collect(second)).ids == FULL
        backend.gate.clear()
        third = place.submit(asked(3, 1000))
        place.give_back()
        place.give_back()
        with pytest.raises(QueueFull):  # its round is still there
            running.engine.submit(asked(10))
        third.cancel()
        other = running.engine.submit(asked(10))
        backend.gate.set()
        assert (await collect(other)).ids == FULL


async def test_a_model_unloaded_meanwhile_is_loaded_for_the_next_round() -> None:
    loads = Loads()
    async with running_engine(loads) as running:
        place = running.engine.hold()
        await collect(place.submit(asked(1)))
        await running.engine.unload()
        assert running.engine.status().state is EngineState.UNLOADED
        assert (await collect(place.submit(asked(2)))).ids == FULL
        assert len(loads.made) == 2
        place.give_back()


async def test_a_close_ends_the_round_and_refuses_the_next() -> None:
    backend = counting()
    async with running_engine(lambda: backend) as running:
        place = running.engine.hold()
        backend.gate.clear()
        generation = place.submit(asked(1, 1000))
        await until(lambda: running.engine.status().active == 1)
        closing = asyncio.create_task(running.engine.close())
        await asyncio.sleep(0)
        backend.gate.set()
        await closing
        assert (await collect(generation)).ending == "failed"
        with pytest.raises(ModelUnavailable, match="stopping"):
            place.submit(asked(2))
        with pytest.raises(ModelUnavailable, match="stopping"):
            running.engine.hold()
        place.give_back()


async def test_whatever_comes_no_place_is_lost_and_no_round_refused() -> None:
    rng = random.Random(seed := secrets.randbits(32))
    sys.stdout.write(f"seed {seed}\n")
    backend = ScriptedBackend(lambda request: range(10_000), held_tokens=25)
    async with running_engine(lambda: backend, max_batch=2, max_queue=2) as running:

        async def converse() -> None:
            for _ in range(20):
                await asyncio.sleep(rng.random() / 500)
                try:
                    place = running.engine.hold()
                except QueueFull:
                    continue
                await go_through(place)
                place.give_back()

        async def go_through(place: HeldPlace) -> None:
            for number in range(rng.randrange(4)):
                request = GenerationRequest((number,), rng.randrange(1, 12), frozenset())
                generation = place.submit(request)
                if rng.random() < 0.3:
                    await asyncio.sleep(rng.random() / 1000)
                    generation.cancel()
                else:
                    assert (await collect(generation)).ending == "finished"

        await asyncio.gather(*(converse() for _ in range(6)))
        places = [running.engine.hold() for _ in range(4)]
        with pytest.raises(QueueFull):
            running.engine.hold()
        for place in places:
            place.give_back()
        assert seen(running) == (0, 0, 0)
