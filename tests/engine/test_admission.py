"""What fits beside the model: by arithmetic, and by what MLX really takes."""

from __future__ import annotations

import random
import secrets
import sys
from pathlib import Path

import mlx.core as mx
import pytest

from mlxoss.core import GenerationRequest
from mlxoss.engine.capacity import Room, SequenceBytes
from mlxoss.engine.checkpoint.loader import load_folder
from mlxoss.engine.mlx.batch import LanguageModel, MlxBackend
from mlxoss.engine.mlx.memory import Budget, make_room
from mlxoss.errors import MemoryExceeded, ModelError
from tests.support.checkpoints import TinyModel, write_checkpoint
from tests.support.engine.harness import (
    collect,
    drain,
    make_request,
    random_prompt,
    running_engine,
    until,
)
from tests.support.fakes import ScriptedBackend


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    folder = Path(tmp_path_factory.mktemp("small"))
    return load_folder(write_checkpoint(folder, TinyModel(vocab_size=2000, layers=4)))


def test_every_row_is_as_long_as_the_longest() -> None:
    room = Room(10**9, 0, SequenceBytes(token=1000, window=50, grow=0))
    assert room.need_bytes([]) == 0
    assert room.need_bytes([1]) == 512 * 1000 + 50
    assert room.need_bytes([1, 10_000, 1]) == 3 * room.need_bytes([10_000])


def test_the_longest_sequence_fits_and_no_much_longer_one() -> None:
    rng = random.Random(seed := secrets.randbits(32))
    sys.stdout.write(f"seed {seed}\n")
    for _ in range(200):
        sizes = SequenceBytes(rng.randrange(1, 10**6), rng.randrange(10**7), rng.randrange(10**5))
        room = Room(rng.randrange(10**11), rng.randrange(10**9), sizes)
        most = room.most_tokens
        assert most == 0 or room.holds([most])
        assert not room.holds([most + 2 * 256 + 2])


@pytest.mark.parametrize("lengths", [[300], [2000, 300], [200] * 8, [3000]])
def test_no_batch_takes_more_than_it_needs(model: LanguageModel, lengths: list[int]) -> None:
    room = make_room(model, 1 << 40, 8)
    mx.clear_cache()
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    backend = MlxBackend(model, room=room)
    for uid, length in enumerate(lengths):
        backend.insert(uid, make_request([*random_prompt(length - 8, uid)], max_tokens=8))
    drain(backend, range(len(lengths)))
    assert mx.get_peak_memory() - before <= room.need_bytes(lengths)
    backend.close()


def test_a_model_that_leaves_nothing_is_refused(model: LanguageModel) -> None:
    with pytest.raises(ModelError, match=r"memory_limit"):
        make_room(model, mx.get_active_memory() + 1000, 8)
    with pytest.raises(ModelError, match=r"takes 2\.00 GB of memory, and 1\.00 GB are there"):
        Budget(10**9).check_weights(2 * 10**9)


def with_places(model: LanguageModel, places: int) -> MlxBackend:
    """A backend in which all sequences share ``places``."""
    return MlxBackend(model, room=Room(places, 0, SequenceBytes(1, 0, 0)))


def test_an_answer_is_cut_to_what_fits_and_a_prompt_refused(model: LanguageModel) -> None:
    backend = with_places(model, 1024)
    most = backend.most_tokens
    assert most == 767
    backend.insert(0, make_request(random_prompt(most - 3), max_tokens=1000))
    assert len(drain(backend, [0])[0].ids) == 3
    with pytest.raises(MemoryExceeded, match=r"holds 767 tokens .* prompt has 767") as caught:
        backend.insert(1, make_request(random_prompt(most)))
    assert caught.value.code == "context_length_exceeded"


def test_what_fits_later_waits_and_what_never_does_not(model: LanguageModel) -> None:
    backend = with_places(model, 2048)
    short = make_request(random_prompt(100), max_tokens=10)
    assert backend.has_room(short)
    backend.insert(0, make_request(random_prompt(300), max_tokens=10))
    assert backend.has_room(short)
    assert not backend.has_room(make_request(random_prompt(800), max_tokens=10))
    assert backend.has_room(make_request(random_prompt(5000), max_tokens=10))
    drain(backend, [0])
    assert backend.has_room(make_request(random_prompt(800), max_tokens=10))


@pytest.mark.anyio
async def test_nobody_overtakes_one_that_waits_for_room() -> None:
    backend = ScriptedBackend(lambda request: range(10_000), most_tokens=100)
    async with running_engine(lambda: backend) as running:
        backend.gate.clear()
        prompts = [[1], [2], [3]]
        sizes = [50, 90, 5]
        generations = [
            running.engine.submit(make_request(prompt, max_tokens=size))
            for prompt, size in zip(prompts, sizes, strict=True)
        ]
        await until(lambda: running.engine.status().active == 1)
        backend.gate.set()
        for generation, size in zip(generations, sizes, strict=True):
            assert len((await collect(generation)).ids) == size
    assert [request.prompt_ids for request in backend.inserted] == [(1,), (2,), (3,)]
    assert backend.most_at_once == 1


@pytest.mark.anyio
async def test_background_requests_go_last_and_leave_a_slot() -> None:
    backend = ScriptedBackend(lambda request: range(10_000))
    async with running_engine(lambda: backend, max_batch=2) as running:
        backend.gate.clear()
        generations = [
            running.engine.submit(
                GenerationRequest((n,), 5, frozenset(), is_background=n in (1, 2, 3))
            )
            for n in (1, 2, 3, 4, 5)
        ]
        backend.gate.set()
        for generation in generations:
            assert len((await collect(generation)).ids) == 5
    order = [request.prompt_ids[0] for request in backend.inserted]
    assert [n for n in order if n < 4] == [1, 2, 3]
    # Whichever came to the engine's thread first: the others need not wait for (2) and (3).
    assert max(order.index(4), order.index(5)) < order.index(3)


@pytest.mark.anyio
@pytest.mark.parametrize("slots", [1, 4])
async def test_background_requests_alone_are_served(slots: int) -> None:
    backend = ScriptedBackend(lambda request: range(3))
    async with running_engine(lambda: backend, max_batch=slots) as running:
        generations = [
            running.engine.submit(GenerationRequest((n,), 3, frozenset(), is_background=True))
            for n in range(6)
        ]
        for generation in generations:
            assert len((await collect(generation)).ids) == 3
    assert backend.most_at_once <= max(1, slots - 1)
