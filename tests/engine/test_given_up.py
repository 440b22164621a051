"""Prompts whose clients gave up: the next try goes on where this one ended, and says the same."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, field

import pytest

from mlxoss.core import GenerationRequest
from mlxoss.engine.backend import SequencePrefilled
from mlxoss.engine.mlx.batch import LanguageModel, MlxBackend
from mlxoss.engine.prefix_cache.cache import MOVING_TOKENS, PATIENCE
from tests.support.engine.harness import make_request
from tests.support.engine.place import Place
from tests.support.engine.prefixes import (
    MARK,
    check_cold,
    make_backend,
    run_one,
    text,
)
from tests.support.waiting import until

CHUNK = 100
TOKEN_BYTES = 2 * 2 * 32 * 4
"""Keys and values of two heads, 32 floats wide: what one layer keeps of a token."""
WINDOW_BYTES = 128 * TOKEN_BYTES


@dataclass
class Tries:
    """A client that asks for one prompt over and over, and what that cost."""

    backend: MlxBackend
    request: GenerationRequest
    computed: int = 0
    cached: list[int] = field(default_factory=list)
    _uids: itertools.count[int] = field(default_factory=itertools.count)

    def give_up_after(self, steps: int) -> None:
        """Ask, and leave after some steps."""
        uid = self.begin()
        for _ in range(steps):
            self.step()
        self.backend.remove(uid)

    def answer(self, model: LanguageModel) -> None:
        """Ask and wait; the answer is a cold run's."""
        cached, ids = run_one(self.backend, self.request)
        self.cached.append(cached)
        self.computed += len(self.request.prompt_ids) - cached
        check_cold(model, self.request, ids)

    def begin(self) -> int:
        """Ask; the try's number."""
        uid = next(self._uids)
        self.cached.append(self.backend.insert(uid, self.request))
        return uid

    def step(self) -> None:
        """Let the backend work."""
        for output in self.backend.step():
            if isinstance(output, SequencePrefilled):
                self.computed += output.tokens


def give_up(backend: MlxBackend, prompt: list[int], steps: int) -> None:
    Tries(backend, make_request(prompt)).give_up_after(steps)


@pytest.mark.parametrize("length", [1000, 1100])
def test_the_next_try_goes_on_where_this_one_ended(model: LanguageModel, length: int) -> None:
    backend = make_backend(model, prefill_step_tokens=CHUNK)
    tries = Tries(backend, make_request(text(length), 8))
    for _ in range(3):
        tries.give_up_after(3)
    assert backend.prefix_cache.entries == 1
    tries.answer(model)
    assert tries.cached == [0, 3 * CHUNK, 6 * CHUNK, 9 * CHUNK]
    assert tries.computed == length
    # The prompt's end, and the answer's: progress is no more than a way there.
    assert backend.prefix_cache.entries == 2


def test_each_of_many_steps_may_be_the_last(model: LanguageModel) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201
    rng = random.Random(seed)
    prompt = [*text(500), MARK, *text(130, 1), MARK, *text(260, 2), MARK, 9]
    backend = make_backend(model, prefill_step_tokens=40)
    tries = Tries(backend, make_request(prompt, 8))
    while tries.computed < 700:
        tries.give_up_after(rng.randrange(5))
        if rng.random() < 0.3:
            run_one(backend, make_request([*prompt[: rng.randrange(1, 500)], 8, 9], 2))
    tries.answer(model)
    assert tries.computed == len(prompt)
    assert tries.cached == sorted(tries.cached)


def test_one_that_was_not_begun_leaves_what_there_was(model: LanguageModel) -> None:
    backend = make_backend(model, prefill_step_tokens=CHUNK)
    tries = Tries(backend, make_request(text(500), 8))
    tries.give_up_after(0)
    assert backend.prefix_cache.entries == 0
    tries.give_up_after(2)
    tries.give_up_after(0)
    tries.answer(model)
    assert tries.cached == [0, 0, 2 * CHUNK, 2 * CHUNK]


def test_given_up_amid_others(model: LanguageModel) -> None:
    """Rows of other lengths are padded; the snapshot is the row's own."""
    backend = make_backend(model, prefill_step_tokens=4 * CHUNK)
    prompts = [text(length, length) for length in (300, 50, 700, 701)]
    requests = [make_request(prompt, 6) for prompt in prompts]
    for uid, request in enumerate(requests):
        backend.insert(uid, request)
    for _ in range(3):
        backend.step()
    for uid in range(len(requests)):
        backend.remove(uid)
    for request in requests:
        cached, ids = run_one(backend, request)
        assert 0 < cached < len(request.prompt_ids)
        check_cold(model, request, ids)


def test_a_paused_one_may_be_given_up(model: LanguageModel) -> None:
    backend = make_backend(model, prefill_step_tokens=CHUNK)
    request = make_request(text(700), 6)
    backend.insert(0, request)
    for _ in range(4):
        backend.step()
    backend.pause(0)
    backend.remove(0)
    cached, ids = run_one(backend, request)
    assert cached == 4 * CHUNK
    check_cold(model, request, ids)


def test_inside_a_long_message_others_find_what_is_done(model: LanguageModel) -> None:
    """Another try comes before the first one is known to be gone."""
    backend = make_backend(model, prefill_step_tokens=500)
    tries = Tries(backend, make_request(text(5400), 4))
    tries.begin()
    entries = set()
    while tries.computed < 4900:
        tries.step()
        entries.add(backend.prefix_cache.entries)
    assert entries == {0, 1}
    tries.begin()
    first, second = tries.cached
    assert first == 0
    assert tries.computed - MOVING_TOKENS < second <= tries.computed
    for uid in (0, 1):
        backend.remove(uid)
    done = tries.computed
    tries.answer(model)
    assert tries.cached[-1] == done


def test_who_turns_off_on_the_way_leaves_it_to_the_others(model: LanguageModel) -> None:
    backend = make_backend(model, prefill_step_tokens=CHUNK)
    tries = Tries(backend, make_request(text(900), 4))
    tries.give_up_after(3)
    other = make_request([*text(900)[:450], MARK, *text(200, 1), MARK, 9], 4)
    cached, ids = run_one(backend, other)
    assert cached == 3 * CHUNK
    check_cold(model, other, ids)
    tries.give_up_after(3)
    tries.answer(model)
    assert tries.cached == [0, 3 * CHUNK, 6 * CHUNK]


def test_boundaries_stay_where_progress_passes(model: LanguageModel) -> None:
    backend = make_backend(model, prefill_step_tokens=CHUNK)
    head = [*text(300), MARK]
    tries = Tries(backend, make_request([*head, *text(400, 1), MARK, 9], 4))
    tries.give_up_after(6)
    tries.answer(model)
    other = make_request([*head, *text(50, 2), MARK, 9], 4)
    cached, ids = run_one(backend, other)
    assert cached == len(head)
    check_cold(model, other, ids)


def make_small(model: LanguageModel) -> MlxBackend:
    """A prefix cache that holds one prompt of 800 tokens and little else."""
    limit_bytes = 900 * TOKEN_BYTES + 2 * WINDOW_BYTES
    return make_backend(model, limit_bytes, prefill_step_tokens=CHUNK)


def test_lesser_prompts_do_not_take_its_place(model: LanguageModel) -> None:
    backend = make_small(model)
    tries = Tries(backend, make_request(text(1000), 4))
    tries.give_up_after(8)
    for number in range(PATIENCE):
        if number % 2:
            give_up(backend, text(300, number + 1), 2)
        else:
            run_one(backend, make_request(text(300, number + 1), 2))
    tries.give_up_after(0)
    assert tries.cached == [0, 8 * CHUNK]


def test_it_is_not_waited_for_without_end(model: LanguageModel) -> None:
    backend = make_small(model)
    tries = Tries(backend, make_request(text(1000), 4))
    tries.give_up_after(8)
    for number in range(PATIENCE + 6):
        run_one(backend, make_request(text(300, number + 1), 2))
    tries.give_up_after(0)
    assert tries.cached == [0, 0]


def test_the_last_long_one_is_waited_for(model: LanguageModel) -> None:
    backend = make_small(model)
    give_up(backend, text(1000, 1), 8)
    tries = Tries(backend, make_request(text(1000, 2), 4))
    tries.give_up_after(8)
    for number in range(3, 9):
        run_one(backend, make_request(text(300, number), 2))
    tries.give_up_after(0)
    assert tries.cached == [0, 8 * CHUNK]


def test_what_is_too_large_leaves_what_there_was(model: LanguageModel) -> None:
    backend = make_small(model)
    tries = Tries(backend, make_request(text(1500), 4))
    tries.give_up_after(8)
    tries.give_up_after(5)
    tries.answer(model)
    assert tries.cached == [0, 8 * CHUNK, 8 * CHUNK]
    assert backend.prefix_cache.bytes <= backend.prefix_cache.limit_bytes


def test_after_a_restart_it_goes_on_from_the_disk(place: Place) -> None:
    request = make_request(text(1000), 8)
    for number in range(3):
        backend = place.backend(prefill_step_tokens=CHUNK)
        tries = Tries(backend, request)
        tries.give_up_after(3)
        assert tries.cached == [3 * CHUNK * number]
        place.end(backend)
    assert place.answer(request) == [9 * CHUNK]


def test_what_stopping_interrupts_goes_on_from_the_disk(place: Place) -> None:
    request = make_request([*text(100), MARK, *text(900, 1)], 8)
    backend = place.backend(prefill_step_tokens=CHUNK)
    backend.insert(0, request)
    for _ in range(5):
        backend.step()
    backend.insert(1, make_request(text(400, 2)))
    place.end(backend)
    assert place.answer(request) == [5 * CHUNK]


def test_what_is_too_large_for_memory_goes_on_from_the_disk(place: Place) -> None:
    request = make_request(text(1500), 4)
    backend = place.backend(limit_bytes=400 * TOKEN_BYTES, prefill_step_tokens=CHUNK)
    tries = Tries(backend, request)
    for number in range(3):
        tries.give_up_after(4)
        until(lambda wanted=number + 1: len(list(place.folder.glob("*.safetensors"))) == wanted)  # type: ignore[misc]
    tries.answer(place.model)
    assert tries.cached == [0, 4 * CHUNK, 8 * CHUNK, 12 * CHUNK]
    assert tries.computed == len(request.prompt_ids)
    place.end(backend)


def test_progress_is_on_the_disk_while_it_runs(place: Place) -> None:
    """Whatever ends the process: this one is not even closed before the next one begins."""
    backend = place.backend(prefill_step_tokens=500)
    tries = Tries(backend, make_request(text(5400), 4))
    tries.begin()
    while tries.computed < 4900:
        tries.step()
    until(lambda: len(list(place.folder.glob("*.safetensors"))) == 2)
    following = place.backend()
    cached = following.insert(0, tries.request)
    assert tries.computed - MOVING_TOKENS < cached <= tries.computed
    for each in (following, backend):
        each.close()


def test_without_a_cache_nothing_is_kept(model: LanguageModel) -> None:
    backend = make_backend(model, limit_bytes=0, prefill_step_tokens=CHUNK)
    tries = Tries(backend, make_request(text(500), 4))
    tries.give_up_after(3)
    tries.answer(model)
    assert tries.cached == [0, 0]
    assert backend.prefix_cache.entries == 0
