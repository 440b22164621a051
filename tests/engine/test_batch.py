"""The MLX backend on a random checkpoint: batching changes no token, no request harms another."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from mlxoss.core import FinishReason, GenerationRequest, SamplingParams
from mlxoss.engine.backend import SequenceOutput, SequencePrefilled
from mlxoss.engine.mlx.batch import LanguageModel, MlxBackend
from mlxoss.engine.mlx.sampling import LogitsProcessor
from mlxoss.errors import InvalidRequest
from tests.support.engine.harness import (
    SMALL_VOCAB,
    WatchedModel,
    drain,
    greedy_reference,
    logits_after,
    make_backend,
    make_request,
    random_prompt,
    run_batch,
    tokens_of,
    with_sampling,
)

# Below, at and above the sliding window of 128 tokens, also after decoding.
PROMPT_LENGTHS = (5, 127, 128, 129, 400, 1, 60, 250)


@pytest.mark.parametrize("length", PROMPT_LENGTHS)
def test_greedy_alone_equals_mlx_lm(model: LanguageModel, length: int) -> None:
    request = make_request(random_prompt(length), max_tokens=24)
    (outcome,) = run_batch(make_backend(model), [request])
    assert outcome.ids == greedy_reference(model, request)


@pytest.mark.parametrize("prefill_step_tokens", [2048, 100])
def test_greedy_in_a_mixed_batch_equals_mlx_lm(
    model: LanguageModel, prefill_step_tokens: int
) -> None:
    requests = [
        make_request(random_prompt(length), max_tokens=80 if length == 60 else 6 + 4 * i)
        for i, length in enumerate(PROMPT_LENGTHS)
    ]
    backend = make_backend(model, max_batch=8, prefill_step_tokens=prefill_step_tokens)
    outcomes = run_batch(backend, requests)
    assert [o.ids for o in outcomes] == [greedy_reference(model, r) for r in requests]


def test_greedy_with_arrivals_and_departures_equals_mlx_lm(model: LanguageModel) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201
    rng = random.Random(seed)
    backend = make_backend(model, max_batch=8, prefill_step_tokens=rng.choice([32, 300]))
    waiting = [
        make_request(random_prompt(rng.randint(1, 250), seed), max_tokens=rng.randint(1, 50))
        for _ in range(12)
    ]
    requests = dict(enumerate(waiting))
    got: dict[int, list[int]] = {uid: [] for uid in requests}
    running: set[int] = set()
    todo = list(requests)
    while todo or running:
        while todo and len(running) < 8 and rng.random() < 0.5:
            uid = todo.pop()
            backend.insert(uid, requests[uid])
            running.add(uid)
        if running and rng.random() < 0.03:
            removed = rng.choice(sorted(running))
            backend.remove(removed)
            running.discard(removed)
        for output in backend.step():
            assert output.uid in running
            if isinstance(output, SequenceOutput):
                got[output.uid].append(output.token.token_id)
                if output.token.finish is not None:
                    assert len(got[output.uid]) == requests[output.uid].max_tokens
                    running.discard(output.uid)
    for uid, ids in got.items():
        assert ids == greedy_reference(model, requests[uid])[: len(ids)]


def test_one_token_and_stop_ids(model: LanguageModel) -> None:
    base = make_request(random_prompt(20), max_tokens=12)
    ids = greedy_reference(model, base)
    position = next(i for i in range(3, 12) if ids[i] not in ids[:i])
    one, first, later, both, missed = run_batch(
        make_backend(model),
        [
            make_request(base.prompt_ids, max_tokens=1),
            make_request(base.prompt_ids, max_tokens=12, stop_ids=[ids[0]]),
            make_request(base.prompt_ids, max_tokens=12, stop_ids=[ids[position], SMALL_VOCAB]),
            make_request(base.prompt_ids, max_tokens=1, stop_ids=[ids[0]]),
            make_request(base.prompt_ids, max_tokens=12, stop_ids=[SMALL_VOCAB + 1]),
        ],
    )
    assert one.ids == ids[:1]
    assert one.tokens[-1].finish is FinishReason.LENGTH
    assert first.ids == ids[:1]
    assert first.tokens[-1].finish is FinishReason.STOP
    assert later.ids == ids[: position + 1]
    assert later.tokens[-1].finish is FinishReason.STOP
    assert both.tokens[-1].finish is FinishReason.STOP
    assert missed.ids == ids
    assert missed.tokens[-1].finish is FinishReason.LENGTH


def test_a_long_prefill_lets_others_decode_at_every_step(model: LanguageModel) -> None:
    longest_chunk = 0

    def watch(rows: int, tokens: int) -> None:
        nonlocal longest_chunk
        longest_chunk = max(longest_chunk, rows * tokens)

    backend = MlxBackend(WatchedModel(model, watch), prefill_step_tokens=256)
    short = make_request(random_prompt(5), max_tokens=40)
    backend.insert(0, short)
    got: list[int] = []
    while not got:
        got += tokens_of(backend.step(), 0)
    for uid in (1, 2, 3):
        backend.insert(uid, make_request(random_prompt(300, uid), max_tokens=2))
    prefilled = 0
    while prefilled < 900:
        outputs = backend.step()
        got += tokens_of(outputs, 0)
        assert len(tokens_of(outputs, 0)) == 1
        prefilled += sum(o.tokens for o in outputs if isinstance(o, SequencePrefilled))
    assert longest_chunk <= 256
    got += drain(backend, [0])[0].ids
    assert got == greedy_reference(model, short)


def test_a_long_prompt_is_not_padded_for_a_short_one(model: LanguageModel) -> None:
    shapes: list[tuple[int, int]] = []
    watched = WatchedModel(model, lambda rows, tokens: shapes.append((rows, tokens)))
    backend = MlxBackend(watched, prefill_step_tokens=512)
    requests = [make_request(random_prompt(n), max_tokens=2) for n in (500, 40)]
    outcomes = run_batch(backend, requests)
    assert [each.ids for each in outcomes] == [greedy_reference(model, r) for r in requests]
    assert (2, 39) in shapes
    assert max(tokens for rows, tokens in shapes if rows == 2) == 39


def test_chunks_of_one_token_and_of_more_take_turns(model: LanguageModel) -> None:
    """Windows that went round are put in order for the next chunk, also in shorter rows."""
    backend = make_backend(model, prefill_step_tokens=16)
    requests = [
        with_sampling(make_request(random_prompt(length), max_tokens=count), top_logprobs=0)
        for length, count in ((3, 400), (250, 3), (100, 3), (30, 3), (20, 3))
    ]
    for uid in (0, 1):
        backend.insert(uid, requests[uid])
    prefilled = 0
    while prefilled < 143:
        prefilled += sum(o.tokens for o in backend.step() if isinstance(o, SequencePrefilled))
    for uid in (2, 3, 4):
        backend.insert(uid, requests[uid])
    ended = drain(backend, range(1, 5))
    outcomes = [ended[uid] for uid in range(1, 5)]
    for request, outcome in zip(requests[1:], outcomes, strict=True):
        assert outcome.ids == greedy_reference(model, request)
        assert outcome.tokens[0].logprob is not None
        logits = logits_after(model, request.prompt_ids)
        exact = logits[outcome.ids[0]] - np.logaddexp.reduce(logits)
        assert outcome.tokens[0].logprob.logprob == pytest.approx(exact, abs=1e-4)


def test_remove_in_prefill_and_decode(model: LanguageModel) -> None:
    backend = make_backend(model, prefill_step_tokens=64)
    kept = make_request(random_prompt(200), max_tokens=20)
    backend.insert(0, kept)
    backend.insert(1, make_request(random_prompt(300), max_tokens=20))
    backend.insert(2, make_request(random_prompt(3), max_tokens=50))
    backend.step()
    backend.remove(1)
    backend.remove(77)
    got: list[int] = []
    while not got:
        outputs = backend.step()
        assert not [output for output in outputs if output.uid == 1]
        got += tokens_of(outputs, 2)
    backend.remove(2)
    assert drain(backend, [0])[0].ids == greedy_reference(model, kept)
    assert backend.step() == []


@pytest.mark.parametrize(
    ("prompt", "sampling", "error"),
    [
        ([], SamplingParams(), ValueError),
        ([1, SMALL_VOCAB], SamplingParams(), ValueError),
        ([-1], SamplingParams(), ValueError),
        ([1], SamplingParams(logit_bias={SMALL_VOCAB: 1.0}), InvalidRequest),
        ([1], SamplingParams(logit_bias={-1: 1.0}), InvalidRequest),
    ],
)
def test_insert_refuses_what_cannot_run(
    model: LanguageModel, prompt: list[int], sampling: SamplingParams, error: type[Exception]
) -> None:
    backend = make_backend(model)
    request = make_request(random_prompt(4))
    backend.insert(0, request)
    with pytest.raises(error):
        backend.insert(1, make_request(prompt, sampling=sampling))
    assert drain(backend, [0])[0].ids == greedy_reference(model, request)


class Poison:
    """A logits processor that spoils its own sequence at the third token."""

    def __init__(self, how: str) -> None:
        self.how = how
        self.calls = 0

    def __call__(self, token_ids: mx.array, logits: mx.array) -> mx.array:
        self.calls += 1
        if self.calls < 3:
            return logits
        if self.how == "raise":
            raise RuntimeError("poison")
        return logits[:, :-1]


class Poisoned(MlxBackend):
    """Poisons the requests whose prompt begins with 13."""

    how = "raise"

    def make_processors(self, request: GenerationRequest) -> list[LogitsProcessor]:
        return [Poison(self.how)] if request.prompt_ids[0] == 13 else []


@pytest.mark.parametrize("how", ["raise", "shape"])
def test_a_poisoned_request_fails_alone(model: LanguageModel, how: str) -> None:
    backend = Poisoned(model)
    backend.how = how
    fine = [make_request(random_prompt(n), max_tokens=10) for n in (4, 140)]
    before, poisoned, after = run_batch(backend, [fine[0], make_request([13, 5]), fine[1]])
    assert poisoned.ending == "failed"
    assert len(poisoned.ids) == 2
    assert [before.ids, after.ids] == [greedy_reference(model, request) for request in fine]


def test_a_failure_beyond_the_last_token_does_not_count(model: LanguageModel) -> None:
    backend = Poisoned(model)
    (outcome,) = run_batch(backend, [make_request([13, 5], max_tokens=2)])
    assert outcome.ending == "finished"


def test_a_model_that_raises_loses_the_batch_and_can_be_rebuilt(model: LanguageModel) -> None:
    healthy = True

    def before(rows: int, tokens: int) -> None:
        if not healthy:
            raise RuntimeError("device lost")

    backend = MlxBackend(WatchedModel(model, before))
    backend.insert(0, make_request(random_prompt(10)))
    backend.insert(1, make_request(random_prompt(200)))
    backend.step()
    healthy = False
    with pytest.raises(RuntimeError, match="device lost"):
        backend.step()
    healthy = True
    backend.rebuild()
    request = make_request(random_prompt(33))
    assert run_batch(backend, [request])[0].ids == greedy_reference(model, request)


class KeptFailure:
    """What Metal does with work that was queued behind work that failed (MLX 0.32, ``device.cpp``):
    it fails later, and the next one who uses or waits for the stream is told, once.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.kept = 0
        for name in ("eval", "async_eval", "synchronize"):
            patch.setattr(mx, name, self._telling(getattr(mx, name)))

    def _telling(self, call: Callable[..., None]) -> Callable[..., None]:
        def tell(*values: Any) -> None:
            if self.kept:
                self.kept -= 1
                raise RuntimeError("[METAL] Command buffer execution failed: Insufficient Memory.")
            call(*values)

        return tell


def test_a_failure_that_the_device_keeps_loses_one_batch_and_not_the_next(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = KeptFailure(monkeypatch)
    backend = MlxBackend(model)
    backend.insert(0, make_request(random_prompt(10)))
    backend.step()
    device.kept = 1
    with pytest.raises(RuntimeError, match="Insufficient Memory"):
        backend.step()
    device.kept = 1  # of what was queued behind it
    backend.rebuild()
    request = make_request(random_prompt(33))
    assert run_batch(backend, [request])[0].ids == greedy_reference(model, request)
    device.kept = 1
    backend.close()
    assert device.kept == 0


def test_close_gives_the_memory_of_caches_and_model_back(model: LanguageModel) -> None:
    request = make_request(random_prompt(400), max_tokens=200)
    mx.clear_cache()
    before = mx.get_active_memory()
    backend = make_backend(model)
    for uid in range(8):
        backend.insert(uid, request)
    for _ in range(20):
        backend.step()
    during = mx.get_active_memory()
    backend.close()
    assert during > before + 1_000_000
    assert mx.get_active_memory() <= before + 100_000
    assert mx.get_cache_memory() == 0
