"""Who pauses, who goes on and what becomes of the rest, on a backend that replays given tokens."""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from mlxoss.core import GenerationRequest
from mlxoss.engine.backend import Backend
from mlxoss.engine.generation import Generation
from mlxoss.engine.occupancy import Occupancy
from mlxoss.engine.status import EngineState
from mlxoss.engine.waiting_queue import WaitingQueue
from mlxoss.errors import QueueFull
from tests.support.engine.harness import Running, collect, running_engine, until
from tests.support.fakes import ScriptedBackend

pytestmark = pytest.mark.anyio


def narrow(held_tokens: int) -> ScriptedBackend:
    """Counts up; its sequences share ``held_tokens``."""
    return ScriptedBackend(lambda request: range(10_000), held_tokens=held_tokens)


def asked(first: int, count: int = 10, *, is_background: bool = False) -> GenerationRequest:
    return GenerationRequest((first,), count, frozenset(), is_background=is_background)


@dataclass
class Started(Running):
    """``start`` lets the model be loaded."""

    start: threading.Event = field(default_factory=threading.Event)


@asynccontextmanager
async def loading_engine(backend: ScriptedBackend, **options: Any) -> AsyncIterator[Started]:
    """An engine that loads ``backend`` once it is told to."""
    start = threading.Event()

    def load() -> Backend:
        start.wait()
        return backend

    async with running_engine(load, **options) as running:
        try:
            yield Started(running.engine, running.fatal, start)
        finally:
            start.set()


def seen(running: Running) -> tuple[int, int, int]:
    """Active, paused, waiting."""
    status = running.engine.status()
    return status.active, status.paused, status.waiting


async def start(
    running: Started, backend: ScriptedBackend, *requests: GenerationRequest
) -> list[Generation]:
    """Submit them while the model is loading, so that they are admitted together, and hold the
    first step."""
    backend.gate.clear()
    generations = [running.engine.submit(request) for request in requests]
    running.start.set()
    await until(lambda: running.engine.status().active > 0)
    return generations


async def step_to_a_pause(running: Running, backend: ScriptedBackend) -> None:
    """Step until somebody is paused, and hold the next step."""
    while not running.engine.status().paused:
        backend.gate.set()
        backend.gate.clear()
        await asyncio.sleep(0.001)


async def test_the_youngest_pauses_and_goes_on_before_who_came_later(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    backend = narrow(21)
    async with loading_engine(backend, max_batch=3) as running:
        generations = await start(running, backend, *(asked(n) for n in (1, 2, 3, 4)))
        assert seen(running) == (3, 0, 1)
        backend.gate.set()
        for generation in generations:
            assert (await collect(generation)).ids == list(range(10))
        status = running.engine.status()
    assert (status.active, status.paused, status.waiting) == (0, 0, 0)
    assert status.pauses == 2
    firsts = [request.prompt_ids[0] for request in backend.inserted]
    assert firsts == [1, 2, 3, 2, 3, 4]
    pauses = [record for record in caplog.records if "pauses" in record.getMessage()]
    assert [record.levelname for record in pauses] == ["INFO", "INFO"]
    assert "request 2 pauses with" in pauses[0].getMessage()


async def test_background_sequences_pause_first() -> None:
    backend = narrow(21)
    async with loading_engine(backend, max_batch=4) as running:
        requests = [asked(n, is_background=n == 1) for n in (1, 2, 3)]
        generations = await start(running, backend, *requests)
        await step_to_a_pause(running, backend)
        assert backend.active == 2
        backend.gate.set()
        for generation in generations:
            assert (await collect(generation)).ids == list(range(10))
    assert [request.prompt_ids[0] for request in backend.inserted] == [2, 3, 1, 3, 1]


async def test_a_client_sees_the_wait_and_the_cached_tokens_of_its_admission() -> None:
    backend = narrow(12)
    async with loading_engine(backend) as running:
        generations = await start(running, backend, asked(1), asked(2))
        await step_to_a_pause(running, backend)
        waited = [generation.wait_s for generation in generations]
        backend.gate.set()
        for generation in generations:
            await collect(generation)
        assert [generation.wait_s for generation in generations] == waited
        assert running.engine.status().pauses >= 1


async def test_one_that_is_paused_can_be_cancelled_and_keeps_its_place_until_then() -> None:
    backend = narrow(12)
    async with loading_engine(backend, max_batch=2, max_queue=1) as running:
        submit = running.engine.submit
        first, second = await start(running, backend, asked(1), asked(2))
        await step_to_a_pause(running, backend)
        third = submit(asked(3))
        assert seen(running) == (1, 1, 1)
        with pytest.raises(QueueFull):
            submit(asked(4))
        second.cancel()
        assert seen(running) == (1, 0, 1)
        fourth = submit(asked(4))
        backend.gate.set()
        for generation in (first, third, fourth):
            assert (await collect(generation)).ids == list(range(10))
        assert (await collect(second)).ending == "cancelled"
    assert backend.removed == [1]
    firsts = [request.prompt_ids[0] for request in backend.inserted]
    assert list(dict.fromkeys(firsts)) == [1, 2, 3, 4]


async def test_what_is_paused_is_answered_before_an_unload_and_what_waits_after() -> None:
    backend = narrow(21)
    async with loading_engine(backend, max_batch=4) as running:
        requests = [asked(n, is_background=n == 3) for n in (1, 2, 3)]
        generations = await start(running, backend, *requests)
        await step_to_a_pause(running, backend)
        unloading = asyncio.create_task(running.engine.unload())
        await asyncio.sleep(0)
        late = running.engine.submit(asked(4))
        # The background one would let the late one go first, had that not to wait.
        backend.gate.set()
        for generation in (*generations, late):
            assert (await collect(generation)).ids == list(range(10))
        await unloading
    assert [each.prompt_ids[0] for each in backend.inserted][-2:] == [3, 4]
    assert backend.closed


async def test_closing_ends_what_is_paused() -> None:
    backend = narrow(12)
    async with loading_engine(backend) as running:
        generations = await start(running, backend, asked(1), asked(2))
        await step_to_a_pause(running, backend)
        closing = asyncio.create_task(running.engine.close())
        await until(lambda: running.engine.status().state is EngineState.CLOSED)
        backend.gate.set()
        await closing
        assert [(await collect(g)).ending for g in generations] == ["failed", "failed"]
        assert seen(running) == (0, 0, 0)


async def test_what_is_paused_outlives_a_lost_batch() -> None:
    backend = narrow(12)
    async with loading_engine(backend) as running:
        generations = await start(running, backend, asked(1), asked(2))
        await step_to_a_pause(running, backend)
        backend.step_errors.append(RuntimeError("device lost"))
        backend.gate.set()
        first, second = [await collect(generation) for generation in generations]
        assert first.ending == "failed"
        assert second.ids == list(range(10))
        assert backend.rebuilt == 1
    assert running.fatal == []


async def test_any_order_of_requests_and_cancels_ends() -> None:
    seed = secrets.randbits(32)
    sys.stdout.write(f"seed {seed}\n")
    rng = random.Random(seed)
    backend = narrow(40)
    async with running_engine(lambda: backend, max_batch=4, max_queue=100) as running:

        async def ask(first: int) -> None:
            await asyncio.sleep(rng.random() / 50)
            count = rng.randrange(1, 38)
            generation = running.engine.submit(
                asked(first, count, is_background=rng.random() < 0.2)
            )
            if rng.random() < 0.2:
                await asyncio.sleep(rng.random() / 50)
                generation.cancel()
            outcome = await collect(generation)
            assert outcome.ids == list(range(len(outcome.ids)))
            assert outcome.ending == "cancelled" or len(outcome.ids) == count

        await asyncio.gather(*(ask(first) for first in range(60)))
        await until(lambda: seen(running) == (0, 0, 0))
        assert running.engine.status().pauses > 0
    assert running.fatal == []


def test_who_is_put_back_stands_first_among_its_kind() -> None:
    line = WaitingQueue(3)
    for uid in (5, 6):
        line.put(uid, asked(uid))
    line.put(7, asked(7, is_background=True))
    assert line.first(0, only_paused=True) is None
    line.put_back(4, asked(4, is_background=True))
    line.put_back(3, asked(3))
    line.put_back(2, asked(2))
    order = []
    while (following := line.first(0)) is not None:
        order.append(following[0])
        line.drop(following[0])
        if len(order) == 2:
            assert line.first(0, only_paused=True) == (4, asked(4, is_background=True))
            assert line.first(2, only_paused=True) is None
    assert order == [2, 3, 5, 6, 4, 7]
    assert not line
    assert not line.paused


def test_the_ledger_counts_pauses() -> None:
    occupancy = Occupancy(slots=2, places=0, clock=lambda: 0.0)
    for uid in (0, 1):
        occupancy.enter(uid)
        occupancy.admit(uid)
    occupancy.pause(1)
    assert (occupancy.counts(), occupancy.pauses()) == ((1, 0, 0.0), (1, 1))
    assert not occupancy.enter(2)
    occupancy.go_on(1)
    assert (occupancy.counts(), occupancy.pauses()) == ((2, 0, 0.0), (0, 1))
    occupancy.pause(1)
    occupancy.leave(1)
    assert (occupancy.counts(), occupancy.pauses()) == ((1, 0, 0.0), (0, 2))
    occupancy.pause(1)  # its caller left meanwhile
    assert (occupancy.counts(), occupancy.pauses()) == ((1, 0, 0.0), (0, 3))
