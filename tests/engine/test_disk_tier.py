"""Prompts restored from the disk on a random model: the tokens are those of a cold run."""

from __future__ import annotations

import itertools
import random
import shutil
from pathlib import Path

import mlx.core as mx
import pytest

from mlxoss.engine.checkpoint.loader import load_folder
from mlxoss.engine.idling import Idling
from mlxoss.engine.mlx.batch import LanguageModel, MlxBackend
from mlxoss.engine.prefix_cache.arrays import Form, read_form, to_arrays, to_run, to_windows
from mlxoss.engine.prefix_cache.disk import LEAST_TOKENS, STEP_TOKENS
from mlxoss.engine.prefix_cache.snapshot import Pairs
from mlxoss.engine.status import EngineState
from tests.support.checkpoints import TinyModel, write_checkpoint, write_quantised
from tests.support.engine.harness import (
    SMALL_VOCAB,
    collect,
    greedy_reference,
    make_request,
    running_engine,
    until,
)
from tests.support.engine.place import Place, two_turns
from tests.support.engine.prefixes import (
    BUDGET,
    MARK,
    PLENTY,
    Walk,
    check_cold,
    run_one,
    text,
)

TOKEN_BYTES = 2 * 2 * 32 * 4
"""Keys and values of two heads, 32 floats wide: what one layer keeps of a token."""
WINDOW_BYTES = 128 * TOKEN_BYTES


@pytest.mark.parametrize("length", [LEAST_TOKENS - 1, LEAST_TOKENS, 257, 383, 384, 385, 700])
def test_after_a_restart_a_prompt_computes_what_is_new(place: Place, length: int) -> None:
    request = make_request(text(length), 8)
    assert place.answer(request) == [0]
    # What is too short for its prompt's end to be stored may be stored with its answer.
    known = length - 1 if length > LEAST_TOKENS else 0
    assert place.answer(request) == [known]
    follow_up = make_request([*request.prompt_ids[:-1], 8, *text(40, 1)], 8)
    assert place.answer(follow_up) == [known]


@pytest.mark.parametrize(("answer", "known"), [(1, 301), (30, 301), (31, 333), (130, 432)])
def test_a_second_turn_goes_on_after_the_answer(place: Place, answer: int, known: int) -> None:
    """The answer's end adds little to the prompt's, and is stored at the close if at all."""
    request = make_request([*text(300), MARK, 9], answer)
    backend = place.backend()
    _, ids = run_one(backend, request)
    place.end(backend)
    turn = make_request([*request.prompt_ids, *ids, MARK, *text(40, 2), MARK, 9], 8)
    assert place.answer(turn) == [known]


def test_a_beginning_that_others_share(place: Place) -> None:
    system = [*text(300), MARK]
    place.answer(make_request([*system, *text(40, 1), MARK, 9], 4))
    assert place.answer(
        make_request([*system, *text(50, 2), MARK, 9], 4),
        make_request([*system, *text(50, 2), MARK, *text(9, 3), MARK, 9], 4),
        make_request([*text(300)[:-1], 8, MARK, 9], 4),
    ) == [301, 352, 0]


def test_it_is_read_once_and_then_kept_in_memory(place: Place) -> None:
    first, second = two_turns()
    place.answer(first)
    backend = place.backend()
    for _ in range(2):
        run_one(backend, second)
    status = backend.prefix_cache
    assert (status.hits, status.disk_hits) == (2, 1)
    assert status.disk_limit_bytes == PLENTY
    assert status.disk_entries >= 2
    assert status.disk_bytes > (400 * TOKEN_BYTES + WINDOW_BYTES)
    place.end(backend)


def test_a_warmed_prompt_is_stored_at_its_end_alone(place: Place) -> None:
    backend = place.backend()
    prompt = tuple(text(900))
    while backend.warm(prompt):
        assert backend.prefix_cache.disk_entries == 0
    assert backend.prefix_cache.disk_entries == 1
    place.end(backend)
    backend = place.backend()
    assert not backend.warm(prompt)
    assert run_one(backend, make_request(prompt, 4))[0] == 899
    place.end(backend)


def test_a_long_conversation_is_written_once(place: Place) -> None:
    """Each turn adds a link with its own tokens, and no turn adds those of before."""
    prompt, sizes = text(300), []
    for turn in range(6):
        prompt = [*prompt, MARK, *text(200, turn), MARK, 9]
        backend = place.backend()
        _, ids = run_one(backend, make_request(prompt, 20))
        place.end(backend)
        prompt += ids
        sizes.append(sum(file.stat().st_size for file in place.files()))
    steps = [after - before for before, after in itertools.pairwise(sizes)]
    # Its tokens, the window at most at the question's start, the prompt's end and the answer's.
    assert max(steps) < 223 * TOKEN_BYTES + 3 * (WINDOW_BYTES + 4096)


def test_without_room_the_least_recently_used_go(place: Place) -> None:
    place.limit_bytes = 3 * (340 * TOKEN_BYTES + WINDOW_BYTES)
    requests = [make_request([*text(320, seed), 9], 1) for seed in range(4)]
    for number in (0, 1, 0, 2):
        place.answer(requests[number])
    assert place.answer(requests[3]) == [0]
    assert [place.answer(requests[number]) for number in (3, 2, 0)] == [[320], [320], [320]]
    assert place.answer(requests[1]) == [0]
    place.limit_bytes = 340 * TOKEN_BYTES + WINDOW_BYTES
    assert place.answer(requests[1]) == [320]
    place.limit_bytes = WINDOW_BYTES
    assert place.answer(requests[1]) == [0]
    assert place.files() == []


def test_another_models_files_are_of_no_use_and_stay(place: Place, tmp_path: Path) -> None:
    request = make_request(text(400), 6)
    place.answer(request)
    files = place.files()
    other = write_checkpoint(tmp_path / "other", TinyModel(vocab_size=SMALL_VOCAB, seed=1))
    for model, checkpoint in [(place.model, "two"), (load_folder(other), "three")]:
        assert Place(place.folder, model, PLENTY, checkpoint).answer(request) == [0]
    assert set(files) < set(place.files())
    assert place.answer(request) == [399]


def test_what_a_broken_step_may_have_spoilt_is_removed(place: Place) -> None:
    first, second = two_turns()
    place.answer(first)
    before = place.files()
    backend = place.backend()
    run_one(backend, second)
    assert backend.prefix_cache.disk_entries > len(before)
    backend.rebuild()
    assert backend.prefix_cache.disk_entries == len(before)
    place.end(backend)
    assert place.files() == before


@pytest.mark.slow
@pytest.mark.parametrize(("disk", "memory"), [(PLENTY, PLENTY), (700_000, 600_000)])
def test_random_walks_with_restarts_equal_cold_runs(
    place: Place, model: LanguageModel, disk: int, memory: int
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201
    rng = random.Random(seed)
    place.limit_bytes = disk
    walk = Walk(model, rng, place.backend(memory, prefill_step_tokens=50))
    first, second = two_turns()
    run_one(walk.backend, first)
    hits, life = 0, 4
    while len(walk.requests) < BUDGET or walk.running:
        if len(walk.requests) < min(BUDGET, life) and len(walk.running) < 4 and rng.random() < 0.3:
            walk.submit()
        if walk.running and rng.random() < 0.02:
            walk.cancel()
        if walk.known and not walk.running and rng.random() < 0.1:
            walk.backend.warm(tuple(rng.choice(walk.known)))
        walk.step()
        assert walk.backend.prefix_cache.disk_bytes <= disk
        if not walk.running and len(walk.requests) == life:
            place.end(walk.backend)
            walk.backend = place.backend(memory, prefill_step_tokens=50)
            check_cold(model, second, run_one(walk.backend, second)[1])
            hits += walk.backend.prefix_cache.disk_hits
            life += rng.randint(1, 4)
    for uid in walk.got:
        walk.check(uid)
    place.end(walk.backend)
    assert hits > 0 or disk < PLENTY


def test_what_bfloat16_computed_comes_back_to_the_bit(tmp_path: Path) -> None:
    form = Form(((2, 4, mx.bfloat16),) * 2, ((2, 4, mx.float16),) * 2, 128)
    run, window = (
        Pairs(((mx.random.normal((1, 2, n, 4)).astype(kind),) * 2,))
        for n, kind in ((300, mx.bfloat16), (128, mx.float16))
    )
    arrays = to_arrays(range(300), run, window)
    expected = form.expected(300, 300)
    assert {name: (a.shape, a.dtype) for name, a in arrays.items()} == expected
    assert form.nbytes(300, 300) == sum(array.nbytes for array in arrays.values())
    restored = to_run(arrays, form), to_windows(arrays, form)
    for before, after in zip((run, window), restored, strict=True):
        for one, other in zip(before.layers[0], after.layers[0], strict=True):
            assert one.dtype == other.dtype
            assert mx.array_equal(one, other).item()


def test_a_model_in_bfloat16(checkpoint: Path, tmp_path: Path) -> None:
    folder = write_quantised(tmp_path / "quantised", checkpoint, bits=8, mode="affine")
    model = load_folder(folder)
    model.set_dtype(mx.bfloat16)  # type: ignore[attr-defined]
    form = read_form(model)
    assert form is not None
    assert {dtype for _, _, dtype in form.run} == {mx.bfloat16}
    place = Place(tmp_path / "prefixes", model)
    # Rounding depends on the chunks: the reference is what memory gives.
    first, second = two_turns()
    backend = place.backend()
    run_one(backend, first)
    expected = run_one(backend, second)
    shutil.rmtree(place.folder)
    backend.close()
    backend = place.backend()
    run_one(backend, first)
    place.end(backend)
    backend = place.backend()
    assert run_one(backend, second) == expected
    assert backend.prefix_cache.disk_hits == 1
    place.end(backend)


@pytest.mark.anyio
async def test_an_unloaded_model_finds_its_prompts_on_the_disk(
    place: Place, checkpoint: Path, model: LanguageModel
) -> None:
    first = make_request([*text(400), MARK, 9], 40)
    history = [*first.prompt_ids, *greedy_reference(model, first)]
    second = make_request([*history, MARK, *text(90, 2), MARK, 9], 8)

    def load() -> MlxBackend:
        return Place(place.folder, load_folder(checkpoint)).backend()

    async with running_engine(load, idling=Idling(unload_s=0.05)) as running:
        for request, known in [(first, 0), (second, len(history))]:
            generation = running.engine.submit(request)
            outcome = await collect(generation)
            assert generation.cached_tokens == known
            check_cold(model, request, outcome.ids)
            await until(lambda: running.engine.status().state is EngineState.UNLOADED)
    place.check_folder()


def test_what_is_worth_a_file(place: Place) -> None:
    """Not what is short, nor what adds little before the close."""
    backend = place.backend()
    run_one(backend, make_request(text(LEAST_TOKENS - 10), 2))
    assert backend.prefix_cache.disk_entries == 0
    base = [*text(LEAST_TOKENS + 50), MARK]
    run_one(backend, make_request([*base, 9], 2))
    assert backend.prefix_cache.disk_entries == 1
    for more, entries in ((STEP_TOKENS - 20, 1), (STEP_TOKENS + 20, 2)):
        run_one(backend, make_request([*base, 9, 10, MARK, *text(more), 9], 1))
        assert backend.prefix_cache.disk_entries == entries
    place.end(backend)
