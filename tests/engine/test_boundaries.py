"""Boundaries of a prompt end no chunk of it, and are snapshots all the same."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, field
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from mlxoss.core import GenerationRequest
from mlxoss.engine.backend import SequencePrefilled
from mlxoss.engine.mlx.batch import LanguageModel, MlxBackend
from mlxoss.engine.mlx.model import Caches
from mlxoss.engine.prefix_cache.held import Held
from mlxoss.engine.prefix_cache.snapshot import Pairs, read_snapshot
from tests.support.engine.harness import WatchedModel, drain, make_request, run_batch
from tests.support.engine.place import Place
from tests.support.engine.prefixes import (
    MARK,
    check_cold,
    cut_at_marks,
    make_backend,
    run_one,
    text,
)


def messages(count: int, length: int, seed: int = 0) -> list[int]:
    """A prompt of so many messages of about ``length`` ids."""
    parts = ([*text(length + n % 5, seed + n), MARK] for n in range(count))
    return [*itertools.chain.from_iterable(parts), 9]


def check_turning_off(
    model: LanguageModel, backend: MlxBackend, prompt: list[int], at: int, seed: int
) -> None:
    """A prompt that turns off in the message after ``at`` begins with the snapshot there."""
    request = make_request([*prompt[:at], *text(11, seed), MARK, 9], 6)
    cached, ids = run_one(backend, request)
    assert cached == at
    check_cold(model, request, ids)


@dataclass
class Passes:
    """A model whose forward passes over more than one token are counted."""

    model: LanguageModel
    tokens: list[int] = field(default_factory=list)

    def watched(self) -> WatchedModel:
        return WatchedModel(self.model, lambda _, count: self.tokens.append(count))

    def take(self) -> list[int]:
        taken, self.tokens = self.tokens, []
        return [count for count in taken if count > 1]


@pytest.mark.parametrize("known", [0, 100])
def test_a_prompt_of_many_messages_is_one_pass(model: LanguageModel, known: int) -> None:
    passes = Passes(model)
    backend = make_backend(passes.watched())
    prompt = messages(9, 20)
    if known:
        run_one(backend, make_request(prompt[:known], 1))
    passes.take()
    cached, _ = run_one(backend, make_request(prompt, 1))
    assert passes.take() == [len(prompt) - 1 - cached]
    assert backend.prefix_cache.entries >= 9
    for seed, at in enumerate(cut_at_marks(prompt, 0)):
        check_turning_off(model, backend, prompt, at, seed + 50)


@pytest.mark.parametrize("chunk", [33, 50, 127, 128, 129, 200, 1000])
def test_each_boundary_is_found_whatever_the_chunks(model: LanguageModel, chunk: int) -> None:
    """Before the window is full, as it becomes full, and after."""
    backend = make_backend(model, prefill_step_tokens=chunk)
    prompt = [*messages(4, 31)[:-1], *messages(3, 1)[:-1], *messages(3, 95, 9)]
    run_one(backend, make_request(prompt, 1))
    for seed, at in enumerate(cut_at_marks(prompt, 0)):
        check_turning_off(model, backend, prompt, at, seed + 50)


def test_prompts_in_one_batch_keep_their_own(model: LanguageModel) -> None:
    """Rows of other lengths are padded, and go on from other lengths."""
    passes = Passes(model)
    backend = make_backend(passes.watched(), prefill_step_tokens=600)
    run_one(backend, make_request([*text(140, 3), MARK, 9], 1))
    prompts = [
        messages(9, 30, 20),
        [*text(140, 3), MARK, *messages(8, 40, 40)],
        messages(2, 10, 60),
        messages(20, 14, 80),
    ]
    requests = [make_request(prompt, 5) for prompt in prompts]
    passes.take()
    outcomes = run_batch(backend, requests)
    boundaries = [cut_at_marks(prompt, 0) for prompt in prompts]
    assert len(passes.take()) < max(map(len, boundaries)) / 2
    for request, outcome in zip(requests, outcomes, strict=True):
        check_cold(model, request, outcome.ids)
    for prompt, ends in zip(prompts, boundaries, strict=True):
        for seed, at in enumerate(ends):
            check_turning_off(model, backend, prompt, at, seed + 200)


def test_who_decodes_has_a_token_in_each_step(model: LanguageModel) -> None:
    backend = make_backend(model, prefill_step_tokens=64)
    decoding = make_request(text(40), 60)
    backend.insert(0, decoding)
    for _ in range(3):
        backend.step()
    prompt = messages(12, 20, 5)
    backend.insert(1, make_request(prompt, 2))
    computed = 0
    while computed < len(prompt):
        outputs = backend.step()
        chunk = sum(o.tokens for o in outputs if isinstance(o, SequencePrefilled))
        assert len([o for o in outputs if o.uid == 0]) == 1
        assert chunk <= 64 + 1
        computed += chunk
    drain(backend, [0, 1])
    for seed, at in enumerate(cut_at_marks(prompt, 0)):
        check_turning_off(model, backend, prompt, at, seed + 50)


def test_what_was_passed_when_its_request_was_cancelled_is_kept(model: LanguageModel) -> None:
    backend = make_backend(model, prefill_step_tokens=150)
    prompt = messages(12, 20)
    backend.insert(0, make_request(prompt, 1))
    backend.step()
    backend.remove(0)
    passed = [at for at in cut_at_marks(prompt, 0) if at <= 150]
    assert len(passed) > 4
    assert backend.prefix_cache.entries == len(passed) + 1
    for seed, at in enumerate(passed):
        check_turning_off(model, backend, prompt, at, seed + 50)
    cached, ids = run_one(backend, make_request(prompt, 4))
    assert cached == 150
    check_cold(model, make_request(prompt, 4), ids)


def test_an_edited_message_is_all_that_is_computed_anew(model: LanguageModel) -> None:
    passes = Passes(model)
    backend = make_backend(passes.watched())
    prompt = messages(10, 25)
    run_one(backend, make_request(prompt, 1))
    ends = cut_at_marks(prompt, 0)
    edited = [*prompt[: ends[6]], *text(24, 99), *prompt[ends[7] - 1 :]]
    passes.take()
    cached, ids = run_one(backend, make_request(edited, 4))
    assert cached == ends[6]
    assert passes.take() == [len(edited) - 1 - cached]
    check_cold(model, make_request(edited, 4), ids)


def test_boundaries_inside_a_chunk_outlive_a_restart(place: Place) -> None:
    prompt = messages(4, 300)
    request = make_request(prompt, 4)
    assert place.answer(request) == [0]
    for seed, at in enumerate(cut_at_marks(prompt, 0)):
        other = make_request([*prompt[:at], *text(11, seed + 50), MARK, 9], 6)
        assert place.answer(other) == [at]


def random_pieces(rng: random.Random, rows: int) -> list[list[int]]:
    most = rng.choice([1, 2, 40, 128, 300])
    return [[rng.randrange(2000) for _ in range(rng.randint(1, most))] for _ in range(rows)]


def put(model: LanguageModel, caches: Caches, pieces: list[list[int]]) -> None:
    """Prefill one chunk as mlx-lm's batches do: all padded to the longest, which is undone."""
    lengths = [len(ids) for ids in pieces]
    longest = max(lengths)
    for cache in caches if min(lengths) < longest else []:
        cache.prepare(lengths=lengths, right_padding=[longest - n for n in lengths])
    model(mx.array([ids + [0] * (longest - len(ids)) for ids in pieces]), cache=caches)
    for cache in caches if min(lengths) < longest else []:
        cache.finalize()


def arrays_of(caches: Any) -> list[Any]:
    parts: tuple[Pairs, Pairs] = read_snapshot(caches, 0)
    return [np.array(array) for part in parts for pair in part.layers for array in pair]


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_a_snapshot_from_inside_a_chunk_is_one_of_its_end(model: LanguageModel, rows: int) -> None:
    """Same tokens, same places, and the same numbers as far as chunks of other shapes round so."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201
    rng = random.Random(seed)
    caches = [cache.merge([cache] * rows) for cache in model.make_cache()]
    all_ids: list[list[int]] = [[] for _ in range(rows)]
    for _ in range(5):
        pieces = random_pieces(rng, rows)
        for cache in caches:
            if hasattr(cache, "rotated"):
                cache._temporal_order()
        put(model, caches, pieces)
        for row, piece in enumerate(pieces):
            all_ids[row] += piece
            done = len(all_ids[row])
            for length in {done, done - len(piece) + 1, rng.randint(done - len(piece) + 1, done)}:
                alone = model.make_cache()
                model(mx.array([all_ids[row][:length]]), cache=alone)
                held = Held(caches, row).at(length)
                assert [c.offset for c in held] == [length] * len(caches)
                for ours, theirs in zip(arrays_of(held), arrays_of(alone), strict=True):
                    assert ours.shape == theirs.shape
                    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_cold_runs_are_what_they_were(model: LanguageModel) -> None:
    """What is computed after a snapshot from inside a chunk, to the end of a long answer."""
    backend = make_backend(model)
    prompt = messages(6, 70)
    run_one(backend, make_request(prompt, 1))
    at = cut_at_marks(prompt, 0)[3]
    request: GenerationRequest = make_request(prompt[: at + 1], 140)
    cached, ids = run_one(backend, request)
    assert cached == at
    check_cold(model, request, ids)
