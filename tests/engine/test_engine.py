"""The engine's thread, queue and endings, on a backend that replays given tokens."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from mlxoss.core import FinishReason, GenerationRequest
from mlxoss.engine.engine import Engine
from mlxoss.engine.status import EngineState
from mlxoss.errors import (
    GenerationCancelled,
    GenerationFailed,
    InvalidRequest,
    ModelError,
    ModelUnavailable,
    QueueFull,
)
from tests.support.engine.harness import collect, make_request, running_engine, until
from tests.support.fakes import ScriptedBackend

pytestmark = pytest.mark.anyio


def counting(count: int = 10_000) -> ScriptedBackend:
    return ScriptedBackend(lambda request: range(count))


async def test_tokens_in_order_with_one_finish() -> None:
    backend = ScriptedBackend(lambda request: [5, 6, 7, 8])
    async with running_engine(lambda: backend) as running:
        outcome = await collect(running.engine.submit(make_request([1], stop_ids=[7])))
        short = await collect(running.engine.submit(make_request([1], max_tokens=2)))
    assert outcome.ids == [5, 6, 7]
    assert outcome.tokens[-1].finish is FinishReason.STOP
    assert short.ids == [5, 6]
    assert short.tokens[-1].finish is FinishReason.LENGTH


async def test_a_finished_generation_ignores_cancel_and_stays_finished() -> None:
    backend = counting()
    async with running_engine(lambda: backend) as running:
        generation = running.engine.submit(make_request([1], max_tokens=3))
        await collect(generation)
        generation.cancel()
        with pytest.raises(StopAsyncIteration):
            await anext(generation)
    assert backend.removed == []


async def test_first_come_first_served_within_the_slots() -> None:
    backend = counting()
    async with running_engine(lambda: backend, max_batch=3) as running:
        generations = [
            running.engine.submit(make_request([n], max_tokens=1 + n % 4)) for n in range(20)
        ]
        outcomes = await asyncio.gather(*(collect(g) for g in generations))
        assert running.engine.status().active == 0
    assert [len(outcome.ids) for outcome in outcomes] == [1 + n % 4 for n in range(20)]
    assert [request.prompt_ids[0] for request in backend.inserted] == list(range(20))
    assert backend.most_at_once == 3


async def test_everything_mlx_happens_on_one_thread() -> None:
    backend = counting()
    loaded_on: list[str] = []

    def load() -> ScriptedBackend:
        loaded_on.append(threading.current_thread().name)
        return backend

    async with running_engine(load) as running:
        await collect(running.engine.submit(make_request([1], max_tokens=2)))
    assert {*loaded_on, *backend.threads} == {"mlxoss-engine"}
    assert backend.closed


async def test_a_full_queue_refuses_at_once_and_says_when_to_retry() -> None:
    backend = counting()
    backend.gate.clear()
    async with running_engine(lambda: backend, max_batch=2, max_queue=3) as running:
        generations = [running.engine.submit(make_request([n])) for n in range(5)]
        with pytest.raises(QueueFull) as refusal:
            running.engine.submit(make_request([9]))
        assert 1 <= refusal.value.retry_after_s <= 60
        await until(lambda: running.engine.status().active == 2)
        status = running.engine.status()
        assert (status.waiting, status.refused) == (3, 1)
        assert status.oldest_wait_s > 0
        generations[4].cancel()
        replacement = running.engine.submit(make_request([10], max_tokens=1))
        backend.gate.set()
        assert (await collect(replacement)).ending == "finished"
        assert replacement.wait_s > 0


async def test_requests_wait_while_the_model_loads() -> None:
    backend = counting()
    load_now = threading.Event()

    def load() -> ScriptedBackend:
        load_now.wait()
        return backend

    async with running_engine(load, max_batch=1, max_queue=1) as running:
        first = running.engine.submit(make_request([1], max_tokens=2))
        second = running.engine.submit(make_request([2], max_tokens=2))
        assert running.engine.status().state is EngineState.LOADING
        assert running.engine.status().waiting == 2
        with pytest.raises(QueueFull):
            running.engine.submit(make_request([3]))
        load_now.set()
        assert (await collect(first)).ids == [0, 1]
        assert (await collect(second)).ids == [0, 1]
        assert running.engine.status().state is EngineState.OK


async def test_a_model_that_cannot_be_loaded() -> None:
    fail_now = threading.Event()

    def load() -> ScriptedBackend:
        fail_now.wait()
        raise ModelError("the weights are damaged")

    async with running_engine(load) as running:
        waiting = running.engine.submit(make_request([1]))
        fail_now.set()
        outcome = await collect(waiting)
        assert isinstance(outcome.error, ModelUnavailable)
        assert "the weights are damaged" in str(outcome.error)
        status = running.engine.status()
        assert (status.state, status.error) == (EngineState.FAILED, "the weights are damaged")
        assert (status.active, status.waiting) == (0, 0)
        with pytest.raises(ModelUnavailable, match="the weights are damaged"):
            running.engine.submit(make_request([1]))
        assert running.fatal == []


async def test_cancel_while_waiting() -> None:
    backend = counting()
    backend.gate.clear()
    async with running_engine(lambda: backend, max_batch=1) as running:
        first = running.engine.submit(make_request([1], max_tokens=2))
        second = running.engine.submit(make_request([2]))
        third = running.engine.submit(make_request([3], max_tokens=2))
        await until(lambda: running.engine.status().active == 1)
        second.cancel()
        second.cancel()
        with pytest.raises(GenerationCancelled):
            await anext(second)
        assert running.engine.status().waiting == 1
        backend.gate.set()
        assert (await collect(first)).ending == "finished"
        assert (await collect(third)).ending == "finished"
    assert [request.prompt_ids for request in backend.inserted] == [(1,), (3,)]


async def test_cancel_while_decoding_frees_the_slot() -> None:
    backend = counting()
    async with running_engine(lambda: backend, max_batch=1) as running:
        first = running.engine.submit(make_request([1], max_tokens=10_000))
        second = running.engine.submit(make_request([2], max_tokens=2))
        await anext(first)
        first.cancel()
        assert (await collect(second)).ids == [0, 1]
        with pytest.raises(GenerationCancelled):
            await anext(first)
    assert len(backend.removed) == 1


async def test_an_insert_that_raises_fails_that_request_alone() -> None:
    def script(request: GenerationRequest) -> list[int]:
        if request.prompt_ids == (13,):
            raise ValueError("thirteen")
        if request.prompt_ids == (14,):
            raise InvalidRequest("not this one", param="logit_bias")
        return [4]

    backend = ScriptedBackend(script)
    async with running_engine(lambda: backend) as running:
        generations = [running.engine.submit(make_request([n])) for n in (12, 13, 14, 15)]
        fine, failed, refused, also_fine = [await collect(g) for g in generations]
        assert running.engine.status().active == 0
    assert (fine.ids, also_fine.ids) == ([4], [4])
    assert isinstance(failed.error, GenerationFailed)
    assert "thirteen" in str(failed.error)
    assert isinstance(refused.error, InvalidRequest)
    assert backend.rebuilt == 0


async def test_a_sequence_that_fails_fails_alone() -> None:
    backend = counting()
    backend.token_errors[(2, 3)] = RuntimeError("poison")
    async with running_engine(lambda: backend) as running:
        generations = [running.engine.submit(make_request([n], max_tokens=8)) for n in (1, 2, 3)]
        outcomes = [await collect(generation) for generation in generations]
        assert running.engine.status().active == 0
    assert [outcome.ending for outcome in outcomes] == ["finished", "failed", "finished"]
    assert outcomes[1].ids == [0, 1, 2]
    assert isinstance(outcomes[1].error, GenerationFailed)
    assert [len(outcomes[0].ids), len(outcomes[2].ids)] == [8, 8]


async def test_a_step_that_raises_fails_the_running_and_spares_the_waiting() -> None:
    backend = counting()
    backend.gate.clear()
    async with running_engine(lambda: backend, max_batch=2) as running:
        generations = [running.engine.submit(make_request([n], max_tokens=3)) for n in range(5)]
        await until(lambda: running.engine.status().active == 2)
        backend.step_errors.append(RuntimeError("out of memory"))
        backend.gate.set()
        outcomes = [await collect(generation) for generation in generations]
        assert running.engine.status().state is EngineState.OK
        assert running.fatal == []
    assert [o.ending for o in outcomes] == ["failed"] * 2 + ["finished"] * 3
    assert isinstance(outcomes[0].error, GenerationFailed)
    assert "out of memory" in str(outcomes[0].error)
    assert outcomes[0].error is not outcomes[1].error
    assert backend.rebuilt == 1


async def test_a_rebuild_that_raises_ends_everything_and_is_fatal() -> None:
    backend = counting()
    backend.gate.clear()
    async with running_engine(lambda: backend, max_batch=1) as running:
        generations = [running.engine.submit(make_request([n])) for n in range(3)]
        await until(lambda: running.engine.status().active == 1)
        backend.step_errors.append(RuntimeError("lost"))
        backend.rebuild_errors.append(RuntimeError("still lost"))
        backend.gate.set()
        outcomes = [await collect(generation) for generation in generations]
        assert isinstance(outcomes[0].error, GenerationFailed)
        assert isinstance(outcomes[1].error, ModelUnavailable)
        assert isinstance(outcomes[2].error, ModelUnavailable)
        assert [str(error) for error in running.fatal] == ["still lost"]
        status = running.engine.status()
        assert (status.state, status.error) == (EngineState.FAILED, "still lost")
        assert (status.active, status.waiting) == (0, 0)
        with pytest.raises(ModelUnavailable, match="still lost"):
            running.engine.submit(make_request([1]))


async def test_close_ends_what_runs_and_what_waits() -> None:
    backend = counting()
    async with running_engine(lambda: backend, max_batch=2) as running:
        generations = [running.engine.submit(make_request([n], 10_000)) for n in range(4)]
        await anext(generations[0])
        await running.engine.close()
        outcomes = [await collect(generation) for generation in generations]
        assert all(isinstance(outcome.error, ModelUnavailable) for outcome in outcomes)
        status = running.engine.status()
        assert (status.state, status.active, status.waiting) == (EngineState.CLOSED, 0, 0)
        with pytest.raises(ModelUnavailable):
            running.engine.submit(make_request([1]))
        await running.engine.close()
    assert backend.closed
    assert "mlxoss-engine" not in {thread.name for thread in threading.enumerate()}


async def test_close_while_loading_waits_for_the_load_and_frees_it() -> None:
    backend = counting()
    load_now = threading.Event()

    def load() -> ScriptedBackend:
        load_now.wait()
        return backend

    async with running_engine(load) as running:
        waiting = running.engine.submit(make_request([1]))
        closing = asyncio.create_task(running.engine.close())
        assert isinstance((await collect(waiting)).error, ModelUnavailable)
        assert not closing.done()
        load_now.set()
        await closing
        assert running.engine.status().state is EngineState.CLOSED
    assert backend.closed
    assert backend.inserted == []


async def test_close_without_start() -> None:
    engine = Engine(counting)
    waiting = engine.submit(make_request([1]))
    await engine.close()
    assert isinstance((await collect(waiting)).error, ModelUnavailable)


async def test_a_consumer_that_is_slow_gets_all_tokens_in_one_go() -> None:
    backend = counting()
    async with running_engine(lambda: backend) as running:
        generation = running.engine.submit(make_request([1], max_tokens=50))
        # What is handed over later comes later: once this one ended, all of the other is there.
        await collect(running.engine.submit(make_request([2], max_tokens=60)))
        assert len(await anext(generation)) == 50
        with pytest.raises(StopAsyncIteration):
            await anext(generation)


async def test_rates_count_what_was_prefilled_and_decoded() -> None:
    backend = counting()
    now = 50.0
    async with running_engine(lambda: backend, clock=lambda: now) as running:
        await collect(running.engine.submit(make_request(range(30), max_tokens=12)))
        now = 56.0
        status = running.engine.status()
    assert status.prefill_tokens_per_s == pytest.approx(30 / 6)
    assert status.decode_tokens_per_s == pytest.approx(12 / 6)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="reads Linux's /proc")
async def test_the_thread_sleeps_when_nothing_runs() -> None:
    backend = counting()
    async with running_engine(lambda: backend) as running:
        await collect(running.engine.submit(make_request([1], max_tokens=3)))
        (thread,) = [t for t in threading.enumerate() if t.name == "mlxoss-engine"]
        status = Path(f"/proc/self/task/{thread.native_id}/status")
        before: list[str] = []
        # It comes to rest whenever the machine lets it; one that polls never does.
        while (now := switches(status)) != before:
            before = now
            await asyncio.sleep(0.5)


def switches(status: Path) -> list[str]:
    """How often the thread gave up or lost its processor: each wake-up adds one."""
    return [line for line in status.read_text().splitlines() if "ctxt_switches" in line]
