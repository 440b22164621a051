"""A model that nobody asks for leaves the memory, and comes back for the next request."""

from __future__ import annotations

from pathlib import Path

import mlx.core as mx
import pytest

from mlxoss.engine.checkpoint.loader import load_folder
from mlxoss.engine.idling import Idling
from mlxoss.engine.mlx.batch import LanguageModel, MlxBackend
from mlxoss.engine.prefix_cache.cache import PrefixCache
from mlxoss.engine.status import EngineState
from mlxoss.errors import ModelError, ModelUnavailable
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

SOON_S = 0.05


class Loads:
    """Makes a backend each time, and keeps them all."""

    def __init__(self, step_s: float = 0.0) -> None:
        self._step_s = step_s
        self.made: list[ScriptedBackend] = []
        self.errors: list[Exception] = []

    def __call__(self) -> ScriptedBackend:
        if self.made and self.errors:
            raise self.errors.pop(0)
        self.made.append(ScriptedBackend(lambda request: range(10_000), self._step_s))
        return self.made[-1]


async def test_idle_it_is_unloaded_and_a_request_loads_it_again() -> None:
    loads = Loads()
    async with running_engine(loads, idling=Idling(unload_s=SOON_S)) as running:
        for count in (1, 2, 3):
            await until(lambda: running.engine.status().state is EngineState.UNLOADED)
            assert running.engine.status().prefix_cache is None
            assert len(loads.made) == count
            assert all(backend.closed for backend in loads.made)
            assert all(backend.rested for backend in loads.made)
            running.engine.warm((1, 2))
            outcome = await collect(running.engine.submit(make_request([1], max_tokens=3)))
            assert outcome.ids == [0, 1, 2]
    assert all(backend.closed for backend in loads.made)
    assert not any(backend.warmed for backend in loads.made)
    assert running.engine.status().state is EngineState.CLOSED
    assert running.fatal == []


async def test_a_request_that_runs_is_no_idleness() -> None:
    loads = Loads(step_s=3 * SOON_S)
    async with running_engine(loads, idling=Idling(unload_s=SOON_S)) as running:
        generation = running.engine.submit(make_request([1], max_tokens=3))
        assert (await collect(generation)).ids == [0, 1, 2]
    assert len(loads.made) == 1


async def test_a_cancelled_request_loads_nothing_it_need_not() -> None:
    loads = Loads()
    async with running_engine(loads, idling=Idling(unload_s=SOON_S)) as running:
        await until(lambda: running.engine.status().state is EngineState.UNLOADED)
        generation = running.engine.submit(make_request([1], max_tokens=3))
        generation.cancel()
        assert (await collect(generation)).ending == "cancelled"
        assert (await collect(running.engine.submit(make_request([1], max_tokens=1)))).ids == [0]
        assert running.engine.status().waiting == 0


async def test_closing_while_unloaded() -> None:
    loads = Loads()
    async with running_engine(loads, idling=Idling(unload_s=SOON_S)) as running:
        await until(lambda: running.engine.status().state is EngineState.UNLOADED)
    assert len(loads.made) == 1


async def test_a_model_that_cannot_be_loaded_again_ends_its_requests() -> None:
    loads = Loads()
    loads.errors.append(ModelError("the folder is gone"))
    async with running_engine(loads, idling=Idling(unload_s=SOON_S)) as running:
        await until(lambda: running.engine.status().state is EngineState.UNLOADED)
        outcome = await collect(running.engine.submit(make_request([1])))
        assert isinstance(outcome.error, ModelUnavailable)
        assert "the folder is gone" in str(outcome.error)
        assert running.engine.status().state is EngineState.FAILED


async def test_never_is_never() -> None:
    loads = Loads()
    async with running_engine(loads) as running:
        assert (await collect(running.engine.submit(make_request([1], max_tokens=1)))).ids == [0]
        await until(lambda: bool(loads.made[0].rested))
        assert running.engine.status().state is EngineState.OK
    assert len(loads.made) == 1


async def test_the_memory_is_given_back(checkpoint: Path, model: LanguageModel) -> None:
    mx.clear_cache()
    before = mx.get_active_memory()

    def load() -> MlxBackend:
        return MlxBackend(load_folder(checkpoint), prefixes=PrefixCache(1 << 30))

    request = make_request(random_prompt(300), 5)
    async with running_engine(load, idling=Idling(unload_s=SOON_S)) as running:
        for _ in range(2):
            outcome = await collect(running.engine.submit(request))
            assert outcome.ids == greedy_reference(model, request)
            await until(lambda: running.engine.status().state is EngineState.UNLOADED)
            assert mx.get_active_memory() <= before + 100_000
