"""Restored prompts on a random model: the tokens are those of a cold run, whatever was kept."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest

from mlxoss.engine.mlx.batch import WARM_STEP_TOKENS, LanguageModel
from tests.support.engine.harness import (
    SMALL_VOCAB,
    Outcome,
    WatchedModel,
    greedy_reference,
    logits_after,
    make_request,
    run_batch,
)
from tests.support.engine.prefixes import (
    BUDGET,
    MARK,
    PLENTY,
    Walk,
    check_cold,
    make_backend,
    run_one,
    text,
)


@pytest.mark.parametrize("length", [1, 2, 126, 127, 128, 129, 130, 255, 256, 257, 400])
def test_a_repeat_computes_one_token_and_says_the_same(model: LanguageModel, length: int) -> None:
    request = make_request(text(length), 8)
    backend = make_backend(model)
    assert run_one(backend, request)[0] == 0
    for _ in range(2):
        cached, ids = run_one(backend, request)
        assert cached == length - 1
        check_cold(model, request, ids)


@pytest.mark.parametrize("first", [1, 125, 126, 127, 128, 256])
@pytest.mark.parametrize("answer", [1, 3, 130])
def test_a_second_turn_goes_on_after_the_answer(
    model: LanguageModel, first: int, answer: int
) -> None:
    request = make_request([*text(first), MARK, 9], answer)
    backend = make_backend(model)
    _, ids = run_one(backend, request)
    check_cold(model, request, ids)
    turn = make_request([*request.prompt_ids, *ids, MARK, *text(40, 2), MARK, 9], 8)
    cached, ids = run_one(backend, turn)
    assert cached == first + 2 + answer
    check_cold(model, turn, ids)


def test_branches_share_their_beginning(model: LanguageModel) -> None:
    backend = make_backend(model)
    head = [*text(140), MARK]
    shared = [*head, *text(150, 1), MARK]
    for seed, prompt, hit in [
        (3, [*shared, *text(60, 3), MARK, 9], 0),
        (4, [*shared, *text(70, 4), MARK, 9], len(shared)),
        (5, [*head, *text(50, 5), MARK, 9], len(head)),
        (6, [*shared, *text(70, 4), MARK, *text(5, 6), MARK, 9], len(shared) + 71),
        (7, [*text(140)[:-1], 8, MARK, 9], 0),
    ]:
        request = make_request(prompt, 10)
        cached, ids = run_one(backend, request)
        assert (seed, cached) == (seed, hit)
        check_cold(model, request, ids)


def test_nothing_of_another_prompt_is_used(model: LanguageModel) -> None:
    backend = make_backend(model)
    request = make_request([*text(200), MARK, *text(200, 1), MARK, 9], 4)
    run_one(backend, request)
    for at in (0, 1, 150, 199, 201, 300):
        changed = list(request.prompt_ids)
        changed[at] = (changed[at] + 1) % SMALL_VOCAB
        other = make_request(changed, 4)
        cached, ids = run_one(backend, other)
        assert cached == (201 if at > 200 else 0)
        check_cold(model, other, ids)


def test_off_keeps_nothing(model: LanguageModel) -> None:
    chunks: list[int] = []
    watched = WatchedModel(model, lambda rows, tokens: chunks.append(tokens))
    backend = make_backend(watched, limit_bytes=0)
    request = make_request([*text(40), MARK, *text(40), MARK, 9], 2)
    for _ in range(2):
        chunks.clear()
        assert run_one(backend, request)[0] == 0
        assert chunks[0] == len(request.prompt_ids) - 1
    status = backend.prefix_cache
    assert (status.entries, status.bytes, status.hits) == (0, 0, 0)


def test_only_what_is_new_is_computed(model: LanguageModel) -> None:
    computed = 0

    def watch(rows: int, tokens: int) -> None:
        nonlocal computed
        computed += rows * tokens

    backend = make_backend(WatchedModel(model, watch))
    request = make_request([*text(300), MARK, 9], 5)
    _, ids = run_one(backend, request)
    computed = 0
    turn = make_request([*request.prompt_ids, *ids, MARK, *text(20, 1), MARK, 9], 5)
    run_one(backend, turn)
    # The new tokens, and a step for each that came.
    assert computed == 23 + 5


def test_the_status_counts_what_was_saved(model: LanguageModel) -> None:
    backend = make_backend(model)
    prompt = [*text(100), MARK, *text(20), MARK, 9]
    run_one(backend, make_request(prompt, 2))
    run_one(backend, make_request([*prompt[:101], *text(30, 1), MARK, 9], 2))
    status = backend.prefix_cache
    assert (status.hits, status.hit_tokens, status.limit_bytes) == (1, 101, PLENTY)
    assert status.entries == 5
    assert 0 < status.bytes < PLENTY


def test_rebuild_and_close_forget_everything(model: LanguageModel) -> None:
    backend = make_backend(model)
    request = make_request([*text(150), MARK, 9], 3)
    run_one(backend, request)
    backend.rebuild()
    assert backend.prefix_cache.bytes == 0
    cached, ids = run_one(backend, request)
    assert cached == 0
    check_cold(model, request, ids)
    backend.close()
    assert backend.prefix_cache.bytes == 0


def test_a_conversation_takes_memory_by_its_length_and_its_turns(model: LanguageModel) -> None:
    """Linear: keys and values once, and a window or two per turn."""
    backend = make_backend(model)
    prompt = text(150)
    sizes = []
    for turn in range(12):
        prompt = [*prompt, MARK, *text(60, turn), MARK, 9]
        _, ids = run_one(backend, make_request(prompt, 20))
        prompt += ids
        sizes.append(backend.prefix_cache.bytes)
    steps = [after - before for before, after in itertools.pairwise(sizes)]
    assert max(steps) == min(steps)
    heads, width, floats, float_bytes = 2, 32, 2, 4
    per_token = heads * width * floats * float_bytes
    window = 128 * per_token
    assert steps[0] == 83 * per_token + 3 * window


@pytest.mark.parametrize(
    "limit_bytes",
    [
        1_500_000,
        pytest.param(PLENTY, marks=pytest.mark.slow),
        pytest.param(400_000, marks=pytest.mark.slow),
    ],
)
def test_random_walks_equal_cold_runs(model: LanguageModel, limit_bytes: int) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201
    rng = random.Random(seed)
    walk = Walk(model, rng, make_backend(model, limit_bytes, prefill_step_tokens=50))
    hits = 0

    def is_more() -> bool:
        """With little memory a walk may be long before it meets what is still there."""
        most = BUDGET if walk.backend.prefix_cache.hits else 10 * BUDGET
        return len(walk.requests) < most

    while is_more() or walk.running:
        if is_more() and len(walk.running) < 6 and rng.random() < 0.3:
            walk.submit()
        if walk.running and rng.random() < 0.02:
            walk.cancel()
        walk.step()
        assert walk.backend.prefix_cache.bytes <= limit_bytes
    for uid in walk.got:
        walk.check(uid)
        hits += walk.cached[uid] > 0
    assert walk.backend.prefix_cache.hits == hits
    assert hits > 0


def test_a_batch_of_hits_and_misses_equals_cold_runs(model: LanguageModel) -> None:
    backend = make_backend(model, max_batch=8)
    base = [*text(127), MARK, *text(130), MARK]
    run_one(backend, make_request([*base, 9], 30))
    requests = [
        make_request(prompt, 12)
        for prompt in (
            [*base, 9],
            [*base, *text(200, 1), MARK, 9],
            text(300, 8),
            [*base[:128], *text(3, 2), MARK, 9],
            [5],
            [*base, *text(1, 1), MARK, 9],
        )
    ]
    outcomes: list[Outcome] = run_batch(backend, requests)
    for request, outcome in zip(requests, outcomes, strict=True):
        check_cold(model, request, outcome.ids)
    assert backend.prefix_cache.hits == 4


def test_a_cancel_in_the_prefill_leaves_whole_snapshots(model: LanguageModel) -> None:
    backend = make_backend(model, prefill_step_tokens=40)
    prompt = [*text(100), MARK, *text(100, 1), MARK, 9]
    request = make_request(prompt, 6)
    backend.insert(0, request)
    for _ in range(4):
        backend.step()
    backend.remove(0)
    # The first message's end, which ended no chunk, and how far it came.
    assert backend.prefix_cache.entries == 2
    cached, ids = run_one(backend, request)
    assert cached == 160
    check_cold(model, request, ids)


@pytest.mark.parametrize("length", [2, 3, 120, 128, 129, 130, 131, 300])
def test_a_warmed_prompt_computes_one_token_and_says_the_same(
    model: LanguageModel, length: int
) -> None:
    backend = make_backend(model)
    prompt = tuple(text(length))
    calls = 1
    while backend.warm(prompt):
        calls += 1
    assert calls == -(-(length - 1) // WARM_STEP_TOKENS)
    assert (backend.prefix_cache.entries, backend.prefix_cache.hits) == (1, 0)
    assert not backend.warm(prompt)
    request = make_request(prompt, 8)
    cached, ids = run_one(backend, request)
    assert cached == length - 1
    check_cold(model, request, ids)


def test_warming_goes_on_where_it_was_interrupted(model: LanguageModel) -> None:
    backend = make_backend(model)
    first = make_request([*text(150), MARK, 9], 5)
    run_one(backend, first)
    canonical = (*first.prompt_ids, *text(200, 1), MARK, 9)
    assert backend.warm(canonical)
    entries = backend.prefix_cache.entries
    other = make_request([*text(140, 2), MARK, 9], 5)
    _, ids = run_one(backend, other)
    check_cold(model, other, ids)
    assert not backend.warm(canonical)
    request = make_request([*canonical[:-1], *text(20, 3), MARK, 9], 8)
    cached, ids = run_one(backend, request)
    assert cached == len(canonical) - 1
    check_cold(model, request, ids)
    assert backend.prefix_cache.entries > entries


@pytest.mark.parametrize("limit_bytes", [0, 1000, 200_000])
def test_warming_ends_where_there_is_no_room(model: LanguageModel, limit_bytes: int) -> None:
    backend = make_backend(model, limit_bytes)
    calls = 1
    while backend.warm(tuple(text(600))):
        calls += 1
    assert calls <= 5
    assert backend.prefix_cache.bytes <= limit_bytes


def test_a_wrong_state_would_be_noticed(model: LanguageModel) -> None:
    """The comparison itself: a cache that is off by one token changes what is said."""
    request = make_request(text(200), 8)
    expected = greedy_reference(model, request)
    moved = make_request([*request.prompt_ids[:-2], *request.prompt_ids[-1:]], 8)
    with pytest.raises(AssertionError):
        check_cold(model, request, greedy_reference(model, moved))
    assert np.isfinite(logits_after(model, expected)).all()
