"""Prompts restored from the disk on a random model: the tokens are those of a cold run."""

from __future__ import annotations

import itertools
import os
import random
import resource
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from mlxoss.core import GenerationRequest
from mlxoss.engine.batch import LanguageModel, MlxBackend
from mlxoss.engine.disk_files import MAX_AGE_S, Link, make_keys, scan, wipe, write_link
from mlxoss.engine.disk_index import DiskIndex, Entry
from mlxoss.engine.disk_tier import LEAST_TOKENS, STEP_TOKENS, DiskTier
from mlxoss.engine.engine import EngineState
from mlxoss.engine.host_arrays import Form, read_form, to_arrays, to_run, to_windows
from mlxoss.engine.loader import load_folder
from mlxoss.engine.prefixes import PrefixCache
from mlxoss.engine.snapshot import Pairs
from tests.checkpoints import TinyModel, write_checkpoint, write_quantised
from tests.engine.harness import (
    SMALL_VOCAB,
    collect,
    greedy_reference,
    make_request,
    running_engine,
    until,
)
from tests.engine.test_prefixes import (
    BUDGET,
    MARK,
    PLENTY,
    Walk,
    check_cold,
    cut_at_marks,
    run_one,
    text,
)

TOKEN_BYTES = 2 * 2 * 32 * 4
"""Keys and values of two heads, 32 floats wide: what one layer keeps of a token."""
WINDOW_BYTES = 128 * TOKEN_BYTES


@dataclass
class Place:
    """A folder, and a daemon's lives on it."""

    folder: Path
    model: LanguageModel
    limit_bytes: int = PLENTY
    checkpoint: str = "one"

    def tier(self) -> DiskTier:
        self.folder.mkdir(mode=0o700, exist_ok=True)
        form = read_form(self.model)
        assert form is not None
        return DiskTier(self.folder, self.limit_bytes, self.checkpoint, form)

    def backend(self, limit_bytes: int = PLENTY, **options: Any) -> MlxBackend:
        prefixes = PrefixCache(limit_bytes, cut_at_marks, self.tier())
        return MlxBackend(self.model, prefixes=prefixes, **options)

    def answer(self, *requests: GenerationRequest) -> list[int]:
        """Run ``requests`` in a life of their own and compare; how much of each was cached."""
        backend = self.backend()
        found = []
        for request in requests:
            cached, ids = run_one(backend, request)
            check_cold(self.model, request, ids)
            found.append(cached)
        self.end(backend)
        return found

    def end(self, backend: MlxBackend) -> None:
        """Close it as the engine does, which drops the model then; this one is the tests' own."""
        backend.close()
        self.check_folder()

    def files(self) -> list[Path]:
        return sorted(self.folder.iterdir())

    def check_folder(self) -> None:
        """What is there is within its bound, whole, and its owner's alone."""
        stored = scan(self.folder, time.time())
        assert len(stored) == len(self.files())
        assert sum(file.stat().st_size for file in self.files()) <= self.limit_bytes
        keys = {one.link.key for one in stored} | {"0"}
        assert all(one.link.parent in keys for one in stored)
        assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in self.files())


@pytest.fixture
def place(tmp_path: Path, model: LanguageModel) -> Place:
    return Place(tmp_path / "prefixes", model)


def two_turns(first: int = 400, more: int = 200) -> tuple[GenerationRequest, GenerationRequest]:
    """A prompt, and one that goes on from it."""
    prompt = [*text(first), MARK, 9]
    return make_request(prompt, 6), make_request([*prompt, MARK, *text(more, 1), MARK, 9], 8)


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


def the_only(place: Place) -> Path:
    (file,) = place.files()
    return file


def truncate(place: Place) -> None:
    file = the_only(place)
    os.truncate(file, file.stat().st_size - 1)


def empty(place: Place) -> None:
    os.truncate(the_only(place), 0)


def rewrite(place: Place, change: Callable[[bytearray], object]) -> None:
    content = bytearray(the_only(place).read_bytes())
    change(content)
    the_only(place).write_bytes(content)


def flip_a_bit(place: Place) -> None:
    def change(content: bytearray) -> None:
        content[-1000] ^= 1

    rewrite(place, change)


def ask_for_much(place: Place) -> None:
    """A header longer than the memory of any machine."""

    def change(content: bytearray) -> None:
        content[:8] = b"\xff" * 8

    rewrite(place, change)


def rebuild_file(place: Place, change: Callable[[dict[str, Any]], object]) -> None:
    """Other arrays with the file's own checksum."""
    file = the_only(place)
    with safe_open(file, framework="numpy") as opened:
        metadata = opened.metadata()
    arrays = load_file(file)
    change(arrays)
    save_file(arrays, file, metadata=metadata)


def other_tokens(place: Place) -> None:
    """A whole file, checksum and all, under the name of another prompt's."""
    file = the_only(place)
    arrays = load_file(file)
    arrays["tokens"][7] += 1
    key, length, parent = file.stem.split("-")
    write_link(place.folder, Link(key, int(length), parent), arrays)


def other_type(place: Place) -> None:
    rebuild_file(place, lambda arrays: arrays.update(tokens=arrays["tokens"].astype(np.float32)))


def other_shape(place: Place) -> None:
    rebuild_file(place, lambda arrays: arrays.update(tokens=arrays["tokens"][:-1]))


def one_less(place: Place) -> None:
    rebuild_file(place, lambda arrays: arrays.pop("window.0"))


def no_checksum(place: Place) -> None:
    save_file(load_file(the_only(place)), the_only(place))


def become_a_link(place: Place) -> None:
    file = the_only(place)
    file.rename(place.folder.parent / "elsewhere")
    file.symlink_to(place.folder.parent / "elsewhere")


def become_a_pipe(place: Place) -> None:
    the_only(place).unlink()
    os.mkfifo(place.folder / f"{'a' * 32}-300-0.safetensors")


def grow_old(place: Place) -> None:
    at = time.time() - MAX_AGE_S - 1
    os.utime(the_only(place), (at, at))


def lose_the_parent(place: Place) -> None:
    file = the_only(place)
    file.rename(place.folder / file.name.replace("-0.", f"-{'b' * 32}."))


def be_its_own_parent(place: Place) -> None:
    file = the_only(place)
    file.rename(place.folder / file.name.replace("-0.", f"-{file.name[:32]}."))


@pytest.mark.parametrize(
    "damage",
    [
        truncate,
        empty,
        flip_a_bit,
        ask_for_much,
        other_tokens,
        other_type,
        other_shape,
        one_less,
        no_checksum,
        become_a_link,
        become_a_pipe,
        grow_old,
        lose_the_parent,
        be_its_own_parent,
    ],
)
def test_a_damaged_file_is_not_used_and_goes(place: Place, damage: Callable[[Place], None]) -> None:
    request = make_request(text(400), 6)
    place.answer(make_request(text(400), 1))
    damage(place)
    assert place.answer(request) == [0]
    # Written anew in its place.
    assert place.answer(request) == [399]


def test_a_damaged_link_takes_those_with_it_that_go_on_from_it(place: Place) -> None:
    first, second = two_turns()
    place.answer(first, second)
    root = next(file for file in place.files() if file.name.endswith("-0.safetensors"))
    os.truncate(root, 100)
    backend = place.backend()
    cached, ids = run_one(backend, second)
    assert cached == 0
    check_cold(place.model, second, ids)
    place.end(backend)


def test_files_that_are_not_ours_are_removed(place: Place) -> None:
    place.answer(make_request(text(400), 6))
    ours = place.files()
    for name in ("notes.txt", f"{ours[0].name}.part", ".tmpabc", "0-0-0.safetensors"):
        (place.folder / name).write_bytes(b"x" * 100)
    (place.folder / "kept").mkdir()
    place.tier().close((), time.monotonic() + 10)
    assert place.files() == [*ours, place.folder / "kept"]
    assert wipe(place.folder) > 0
    assert place.files() == [place.folder / "kept"]
    assert wipe(place.folder / "none") == 0


@contextmanager
def full_disk() -> Iterator[None]:
    """No file may grow beyond some bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_told_of_once_and_lived_with(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    kept = make_request(text(400), 6)
    place.answer(kept)
    before = place.files()
    with full_disk():
        assert place.answer(*(make_request(text(400, seed), 2) for seed in (1, 2, 3))) == [0, 0, 0]
    assert place.files() == before
    assert sum("no more snapshots" in record.message for record in caplog.records) == 1
    assert place.answer(kept) == [399]


def test_a_folder_that_goes_away(place: Place) -> None:
    first, second = two_turns()
    place.answer(first)
    backend = place.backend()
    shutil.rmtree(place.folder)
    cached, ids = run_one(backend, second)
    assert cached == 0
    check_cold(place.model, second, ids)
    backend.close()
    assert not place.folder.exists()


@pytest.mark.parametrize(("disk", "memory"), [(PLENTY, PLENTY), (700_000, 600_000)])
def test_random_walks_with_restarts_equal_cold_runs(
    place: Place, model: LanguageModel, disk: int, memory: int
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201
    rng = random.Random(seed)
    place.limit_bytes = disk
    walk = Walk(model, rng, place.backend(memory, prefill_step_tokens=50))
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
            hits += walk.backend.prefix_cache.disk_hits
            place.end(walk.backend)
            walk.backend = place.backend(memory, prefill_step_tokens=50)
            life += rng.randint(1, 4)
    for uid in walk.got:
        walk.check(uid)
    place.end(walk.backend)
    assert hits > 0


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

    async with running_engine(load, idle_unload_s=0.05) as running:
        for request, known in [(first, 0), (second, len(history))]:
            generation = running.engine.submit(request)
            outcome = await collect(generation)
            assert generation.cached_tokens == known
            check_cold(model, request, outcome.ids)
            await until(lambda: running.engine.status().state is EngineState.UNLOADED)
    place.check_folder()


def test_keys_are_of_a_model_and_all_tokens() -> None:
    ids = random.Random(1).choices(range(200_000), k=500)
    lengths = [1, 2, 127, 128, 500]
    keys = list(make_keys("a" * 64, ids, lengths))
    assert keys == [next(make_keys("a" * 64, ids[:n], [n])) for n in lengths]
    others = [
        next(make_keys("b" * 64, ids, [500])),
        next(make_keys("a" * 64, [ids[0] + 1, *ids[1:]], [500])),
        next(make_keys("a" * 64, [*ids[:-1], ids[-1] + 1], [500])),
    ]
    assert len({*keys, *others}) == len(keys) + len(others)


def test_the_index_against_a_plain_model() -> None:
    """Random trees: what is left has its parents, fits, and went in the order of its use."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201
    rng = random.Random(seed)
    index, chains = DiskIndex(), {"0": ["0"]}
    for number in range(1, 400):
        parent = rng.choice([key for key in chains if key == "0" or index.chain(key)])
        key = str(number)
        chain = index.chain(parent)
        index.touch(chain)
        entry = Entry(Link(key, len(chain) + 1, parent), rng.randint(1, 50), True, number % 2 == 0)
        assert index.add(entry)
        assert not index.add(entry)
        index.touch([*chain, entry])
        chains[key] = [*chains[parent], key]
        gone = {link.key for link in index.shrink(1000)}
        assert all(set(chains[key]) & gone for key in gone)
        for key in list(chains)[1:]:
            found = [one.link.key for one in index.chain(key)]
            assert found in ([], chains[key][1:])
            assert bool(found) or not any(key == one for one in found)
        assert index.nbytes <= 1000
        # Nobody is given up who was used later than what is left.
        assert entry in index or entry.nbytes > 1000
    assert index.drop_broken() == []
    new = index.drop_new()
    assert new
    assert all(index.chain(link.key) == [] for link in new)


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
