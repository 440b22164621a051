"""Prompts computed ahead: only while nobody waits, and in the way of nobody."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from mlxoss.engine.scheduler import MOST_WARMED
from mlxoss.engine.status import EngineState
from tests.support.engine.harness import collect, make_request, running_engine, until
from tests.support.fakes import ScriptedBackend

pytestmark = pytest.mark.anyio


def make_backend(**options: int) -> ScriptedBackend:
    return ScriptedBackend(lambda request: range(10_000), **options)  # type: ignore[arg-type]


async def test_an_idle_engine_warms_to_the_end() -> None:
    backend = make_backend(warm_steps=3)
    async with running_engine(lambda: backend) as running:
        await until(lambda: running.engine.status().state is EngineState.OK)
        running.engine.warm((1, 2))
        await until(lambda: len(backend.warmed) == 3)
        running.engine.warm((3, 4))
        await until(lambda: len(backend.warmed) == 6)
    assert backend.warmed == [(1, 2)] * 3 + [(3, 4)] * 3


@dataclass
class Watching(ScriptedBackend):
    """Notes how many had been admitted, and how many of them ran, whenever it warms."""

    seen: list[tuple[int, int]] = field(default_factory=list)

    def warm(self, prompt_ids: tuple[int, ...]) -> bool:
        self.seen.append((len(self.inserted), self.active))
        return super().warm(prompt_ids)


async def test_requests_go_first() -> None:
    backend = Watching(lambda request: range(10_000))
    async with running_engine(lambda: backend, max_batch=1) as running:
        await until(lambda: running.engine.status().state is EngineState.OK)
        backend.gate.clear()
        generations = [running.engine.submit(make_request([n], max_tokens=9)) for n in range(3)]
        running.engine.warm((1, 2))
        await until(lambda: len(backend.inserted) == 1)
        backend.gate.set()
        for generation in generations:
            await collect(generation)
        await until(lambda: backend.warmed == [(1, 2)])
    assert backend.seen == [(3, 0)]


async def test_a_request_waits_for_one_step_of_warming_at_most() -> None:
    backend = make_backend(warm_steps=1_000_000)
    async with running_engine(lambda: backend) as running:
        await until(lambda: running.engine.status().state is EngineState.OK)
        running.engine.warm((1, 2))
        await until(lambda: len(backend.warmed) > 0)
        outcome = await collect(running.engine.submit(make_request([5], max_tokens=3)))
        assert outcome.ids == [0, 1, 2]
        # Afterwards it goes on; closing does not wait for it.
        warmed = len(backend.warmed)
        await until(lambda: len(backend.warmed) > warmed)
    assert backend.closed


async def test_the_latest_are_remembered_and_go_first() -> None:
    backend = make_backend()
    async with running_engine(lambda: backend) as running:
        await until(lambda: running.engine.status().state is EngineState.OK)
        backend.gate.clear()
        generation = running.engine.submit(make_request([1], max_tokens=1))
        await until(lambda: len(backend.inserted) == 1)
        for number in range(MOST_WARMED + 3):
            running.engine.warm((number,))
        backend.gate.set()
        await collect(generation)
        await until(lambda: len(backend.warmed) == MOST_WARMED)
    assert backend.warmed == [(number,) for number in reversed(range(3, MOST_WARMED + 3))]


async def test_a_prompt_that_cannot_be_warmed_is_forgotten(
    caplog: pytest.LogCaptureFixture,
) -> None:
    backend = make_backend()
    backend.warm_errors.append(ValueError("no such id"))
    async with running_engine(lambda: backend) as running:
        await until(lambda: running.engine.status().state is EngineState.OK)
        running.engine.warm((1,))
        await until(lambda: not backend.warm_errors)
        assert (await collect(running.engine.submit(make_request([5], max_tokens=1)))).ids == [0]
    assert backend.warmed == []
    assert "could not be computed ahead" in caplog.text


async def test_nothing_is_warmed_before_the_model_is_there_or_after_closing() -> None:
    backend = make_backend()
    async with running_engine(lambda: backend) as running:
        running.engine.warm((1,))
        await until(lambda: running.engine.status().state is EngineState.OK)
        await collect(running.engine.submit(make_request([5], max_tokens=1)))
    running.engine.warm((1,))
    assert backend.warmed == []


async def test_a_bit_at_a_time_and_what_is_left_is_told() -> None:
    backend = make_backend(warm_steps=3)
    async with running_engine(lambda: backend) as running:
        assert not await running.engine.warm_bit((1, 2))
        await until(lambda: running.engine.status().state is EngineState.OK)
        assert [await running.engine.warm_bit((1, 2)) for _ in range(3)] == [True, True, False]
    assert backend.warmed == [(1, 2)] * 3


async def test_bits_come_after_requests_and_what_they_leave() -> None:
    backend = Watching(lambda request: range(10_000))
    async with running_engine(lambda: backend) as running:
        await until(lambda: running.engine.status().state is EngineState.OK)
        backend.gate.clear()
        generation = running.engine.submit(make_request([1], max_tokens=9))
        await until(lambda: len(backend.inserted) == 1)
        bit = asyncio.ensure_future(running.engine.warm_bit((3, 4)))
        await asyncio.sleep(0)
        running.engine.warm((1, 2))
        backend.gate.set()
        await collect(generation)
        assert not await bit
    assert backend.warmed == [(1, 2), (3, 4)]
    assert backend.seen == [(1, 0), (1, 0)]


async def test_a_bit_that_fails_is_answered(caplog: pytest.LogCaptureFixture) -> None:
    backend = make_backend()
    backend.warm_errors.append(ValueError("no such id"))
    async with running_engine(lambda: backend) as running:
        await until(lambda: running.engine.status().state is EngineState.OK)
        assert not await running.engine.warm_bit((1,))
    assert "could not be computed ahead" in caplog.text


async def test_bits_are_answered_when_the_model_goes_and_when_all_ends() -> None:
    backend = make_backend(warm_steps=1_000_000)
    async with running_engine(lambda: backend) as running:
        await until(lambda: running.engine.status().state is EngineState.OK)
        for leave in (running.engine.unload, running.engine.close):
            await running.engine.load()
            backend.gate.clear()
            generation = running.engine.submit(make_request([1], max_tokens=1))
            await until(lambda: backend.active == 1)
            leaving = asyncio.ensure_future(leave())
            bit = asyncio.ensure_future(running.engine.warm_bit((1, 2)))
            await asyncio.sleep(0)
            generation.cancel()
            backend.gate.set()
            assert not await bit
            await leaving
