from __future__ import annotations

import math
from collections import Counter

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.sample_utils import apply_min_p, apply_top_k, apply_top_p

from mlxoss.core import SamplingParams
from mlxoss.engine.mlx.sampling import (
    greedy,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    make_sampler,
    to_token_logprob,
)


def random_logprobs(rows: int = 3, vocab_size: int = 500) -> mx.array:
    logits = mx.random.normal((rows, vocab_size), key=mx.random.key(5)) * 3
    return logits - mx.logsumexp(logits, axis=-1, keepdims=True)


def make_row(probs: list[float]) -> mx.array:
    return mx.log(mx.array([probs]))


def test_filters_equal_mlx_lm() -> None:
    logprobs = random_logprobs()
    assert mx.array_equal(keep_top_p(logprobs, 0.6), apply_top_p(logprobs, 0.6))
    assert mx.array_equal(keep_min_p(logprobs, 0.05), apply_min_p(logprobs, 0.05))
    assert mx.array_equal(keep_top_k(logprobs, 7), apply_top_k(logprobs, 7))


PROBS = [0.1, 0.4, 0.05, 0.3, 0.15]


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        (SamplingParams(), {0, 1, 2, 3, 4}),
        (SamplingParams(top_p=0.5), {1, 3}),
        (SamplingParams(top_p=0.0), {1}),
        (SamplingParams(top_p=1.0), {0, 1, 2, 3, 4}),
        (SamplingParams(min_p=0.3), {1, 3, 4}),
        (SamplingParams(min_p=1.0), {1}),
        (SamplingParams(top_k=1), {1}),
        (SamplingParams(top_k=3), {1, 3, 4}),
        (SamplingParams(top_k=5), {0, 1, 2, 3, 4}),
        (SamplingParams(top_k=50), {0, 1, 2, 3, 4}),
        (SamplingParams(top_k=-1), {0, 1, 2, 3, 4}),
        (SamplingParams(top_p=0.8, top_k=2), {1, 3}),
        (SamplingParams(temperature=0.0), {1}),
        (SamplingParams(temperature=1e-9), {1}),
        (SamplingParams(temperature=100.0, top_k=2), {1, 3}),
    ],
)
def test_what_can_be_sampled(params: SamplingParams, expected: set[int]) -> None:
    sampler = make_sampler(params, seed=1)
    rows = mx.repeat(make_row(PROBS), 400, axis=0)
    assert set(sampler(rows).tolist()) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize("temperature", [1.0, 0.5, 2.0])
def test_tokens_come_as_often_as_they_are_likely(temperature: float) -> None:
    sampler = make_sampler(SamplingParams(temperature=temperature), seed=11)
    rows = mx.repeat(make_row(PROBS), 500, axis=0)
    draws = Counter(token for _ in range(40) for token in sampler(rows).tolist())  # type: ignore[union-attr]
    weights = np.array(PROBS) ** (1 / temperature)
    shares = [draws[i] / 20_000 for i in range(5)]
    assert shares == pytest.approx((weights / weights.sum()).tolist(), abs=0.015)


def test_a_seed_starts_the_same_chain() -> None:
    row = random_logprobs(rows=1)

    def draw(seed: int) -> list[object]:
        sampler = make_sampler(SamplingParams(), seed=seed)
        return [sampler(row).item() for _ in range(10)]

    assert draw(3) == draw(3)
    assert draw(3) != draw(4)
    assert draw(-1) == draw(2**64 - 1)
    assert len(set(draw(3))) > 3


def test_no_mass_at_all_is_greedy() -> None:
    for least in (0.0, -0.0, 1e-300):
        assert make_sampler(SamplingParams(top_p=least), seed=1) is greedy


def test_greedy_takes_the_first_of_equals() -> None:
    assert greedy(mx.array([[0.0, 1.0, 1.0], [2.0, 1.0, 2.0]])).tolist() == [1, 0]


def test_logprobs_are_sorted_and_finite() -> None:
    row = mx.array([-3.0, -math.inf, -0.5, -3.0, -20_000.0])
    top = to_token_logprob(row, 1, 5)
    assert top.logprob == -9999.0
    assert top.top == ((2, -0.5), (0, -3.0), (3, -3.0), (4, -9999.0), (1, -9999.0))
    assert to_token_logprob(row, 2, 0).top == ()
    assert len(to_token_logprob(row, 2, 2).top) == 2


def test_logprobs_of_a_row_that_is_not_a_number() -> None:
    with pytest.raises(ArithmeticError):
        to_token_logprob(mx.array([math.nan, 1.0]), 0, 1)
