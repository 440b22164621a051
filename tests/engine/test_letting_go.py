"""After idle minutes the weights are no longer wired, and with the next request they are again."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator
from pathlib import Path

import mlx.core as mx
import pytest

from mlxoss.core import SamplingParams
from mlxoss.engine.counters import read_mlx_memory
from mlxoss.engine.idling import Idling
from mlxoss.engine.mlx.batch import LanguageModel, MlxBackend
from mlxoss.engine.wiring import Wiring, let_go_bytes, note_wired, wired_bytes
from tests.support.engine.harness import collect, make_request, run_batch, running_engine, until
from tests.support.engine.metal import Sets, stand_in_metal
from tests.support.engine.place import Place
from tests.support.engine.prefixes import MARK, check_cold, make_backend, run_one, text
from tests.support.fakes import ScriptedBackend

pytestmark = pytest.mark.anyio

YES = Wiring(True, "for the test")
SOON_S = 0.05


@pytest.fixture
def metal() -> Iterator[Sets]:
    with stand_in_metal(24 << 30) as sets:
        yield sets
    note_wired(None)


@pytest.fixture
def backend(metal: Sets, tmp_path: Path, model: LanguageModel) -> Iterator[MlxBackend]:
    backend = Place(tmp_path / "snapshots", model).backend()
    backend.wire(YES)
    yield backend
    backend.close()


def test_what_is_let_go_is_wired_again_with_the_next_request(
    metal: Sets, backend: MlxBackend, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    (limit,) = metal.limits
    wired = wired_bytes()
    assert wired
    backend.let_go()
    assert metal.limits == [limit, 0]
    told = read_mlx_memory()
    assert (told["wired_bytes"], told["let_go_bytes"]) == (0, wired)
    backend.let_go()
    assert metal.limits == [limit, 0]
    run_one(backend, make_request([1, 2, 3]))
    assert metal.limits == [limit, 0, limit]
    assert (wired_bytes(), let_go_bytes()) == (wired, 0)
    assert "let_go_bytes" not in read_mlx_memory()
    assert "the weights are no longer wired" in caplog.text
    assert "of weights are wired again" in caplog.text
    backend.let_go()
    assert backend.warm(tuple(text(20))) in (True, False)
    assert metal.limits == [limit, 0, limit, 0, limit]


def test_snapshots_leave_the_memory_and_are_found_on_the_disk(
    metal: Sets, backend: MlxBackend, model: LanguageModel
) -> None:
    """There they would take the weights' place: MLX wires what fits, in no order."""
    gc.collect()
    alone = mx.get_active_memory()
    request = make_request([*text(300), MARK, 9], 31)
    _, ids = run_one(backend, request)
    kept = backend.prefix_cache.bytes
    assert kept
    backend.let_go()
    assert (backend.prefix_cache.entries, backend.prefix_cache.bytes) == (0, 0)
    assert mx.get_active_memory() - alone < kept / 10
    # The answer's end too, which added so little that it was not stored before.
    next_turn = make_request([*request.prompt_ids, *ids, MARK, 8], 8)
    cached, ids = run_one(backend, next_turn)
    assert cached >= 331
    check_cold(model, next_turn, ids)
    assert backend.prefix_cache.disk_hits == 1


def test_nor_is_anything_of_the_last_steps_there(
    metal: Sets, backend: MlxBackend, model: LanguageModel
) -> None:
    """Neither log probabilities, a row of the vocabulary each, nor what keeps the GPU warm."""
    run_one(backend, make_request([1, 2, 3]))
    backend.let_go()
    alone = mx.get_active_memory()
    top = SamplingParams(temperature=0.0, top_logprobs=1)
    run_batch(backend, [make_request(text(20, seed), 4, top) for seed in range(3)])
    backend.keep_warm()
    backend.let_go()
    backend.keep_warm()  # which may be asked for longer than the weights stay
    assert mx.get_active_memory() - alone < model.args.vocab_size * 4
    outcome, again = run_batch(backend, [make_request(text(20), 4, top)] * 2)
    assert outcome == again
    check_cold(model, make_request(text(20), 4), outcome.ids)


def test_without_a_disk_what_prompts_have_in_common_is_worth_more(
    metal: Sets, model: LanguageModel
) -> None:
    backend = make_backend(model)
    backend.wire(YES)
    request = make_request([*text(300), MARK, 9], 8)
    run_one(backend, request)
    backend.let_go()
    assert len(metal.limits) == 1
    assert run_one(backend, request)[0] == 301
    backend.close()


def test_nor_with_a_disk_that_cannot_be_written(
    metal: Sets, tmp_path: Path, model: LanguageModel
) -> None:
    place = Place(tmp_path / "snapshots", model)
    backend = place.backend()
    backend.wire(YES)
    place.folder.rmdir()
    place.folder.write_text("in the way")
    request = make_request([*text(300), MARK, 9], 8)
    run_one(backend, request)
    for seed in range(1, 50):
        run_one(backend, make_request(text(260, seed), 2))
    backend.let_go()
    assert len(metal.limits) == 1
    assert run_one(backend, request)[0] == 301
    backend.close()


def test_what_is_not_wired_is_not_let_go(metal: Sets, tmp_path: Path, model: LanguageModel) -> None:
    backend = Place(tmp_path / "snapshots", model).backend()
    backend.wire(Wiring(False, "it is a Tuesday"))
    run_one(backend, make_request([*text(300), MARK, 9], 8))
    backend.let_go()
    assert metal.limits == []
    assert backend.prefix_cache.entries
    backend.close()


def test_a_model_that_was_let_go_may_leave(
    metal: Sets, tmp_path: Path, model: LanguageModel
) -> None:
    backend = Place(tmp_path / "snapshots", model).backend()
    backend.wire(YES)
    backend.let_go()
    assert metal.limits[1:] == [0]
    backend.close()
    assert (metal.limits[1:], wired_bytes()) == ([0], None)


async def test_where_that_fails_the_service_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    backend = ScriptedBackend(lambda request: range(10_000), let_go_errors=[OSError("lost")])
    async with running_engine(lambda: backend, idling=Idling(let_go_s=SOON_S)) as running:
        await until(lambda: backend.let_gone == 1)
        outcome = await collect(running.engine.submit(make_request([1], max_tokens=3)))
        assert outcome.ids == [0, 1, 2]
        await until(lambda: backend.let_gone == 2)
    assert caplog.text.count("the weights could not be let go") == 1
    assert running.fatal == []


async def test_it_goes_once_in_a_long_pause_and_never_before_it() -> None:
    backend = ScriptedBackend(lambda request: range(10_000))
    async with running_engine(lambda: backend, idling=Idling(let_go_s=SOON_S)) as running:
        for count in (1, 2):
            await until(lambda: backend.let_gone == count)  # noqa: B023 - awaited at once
            outcome = await collect(running.engine.submit(make_request([1], max_tokens=3)))
            assert outcome.ids == [0, 1, 2]
    assert Idling().let_go_s > 60
    early = Idling(unload_s=SOON_S, let_go_s=2 * SOON_S)
    loads: list[ScriptedBackend] = []

    def load() -> ScriptedBackend:
        loads.append(ScriptedBackend(lambda request: range(10_000)))
        return loads[-1]

    async with running_engine(load, idling=early) as running:
        await until(lambda: bool(loads) and loads[0].closed)
    assert [one.let_gone for one in loads] == [0]
