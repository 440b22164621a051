"""Chunks of a prefill by the clock."""

from __future__ import annotations

import random

import pytest

from mlxoss.engine.mlx.prefill_chunks import (
    ALONE_S,
    BESIDE_DECODING_S,
    PrefillChunks,
    least_tokens,
)

OF_20B, OF_120B = least_tokens(32, 4), least_tokens(128, 4)
LEAST_TOKENS = OF_20B


def make_pace(
    most_tokens: int = 2048, most_pairs: int = 1 << 25, least: int = LEAST_TOKENS
) -> PrefillChunks:
    return PrefillChunks(most_tokens, most_pairs, least)


def settle(
    pace: PrefillChunks, token_s: float, *, known: int = 0, beside_decoding: bool = True
) -> int:
    """The chunk after a while on a machine that takes ``token_s`` a token."""
    for _ in range(12):
        tokens = pace.chunk_tokens(1, known, beside_decoding=beside_decoding)
        pace.measured(tokens, tokens * token_s)
    return tokens


@pytest.mark.parametrize("tokens_per_s", [100, 600, 2000, 5000])
def test_a_chunk_takes_what_those_who_wait_can_bear(tokens_per_s: int) -> None:
    pace = make_pace()
    beside = settle(pace, 1 / tokens_per_s)
    assert beside == pytest.approx(max(LEAST_TOKENS, BESIDE_DECODING_S * tokens_per_s), abs=1)
    alone = settle(pace, 1 / tokens_per_s, beside_decoding=False)
    assert alone == pytest.approx(min(2048, ALONE_S * tokens_per_s), abs=1)


def test_rows_share_a_chunk() -> None:
    pace = make_pace()
    whole = settle(pace, 1 / 1000)
    assert pace.chunk_tokens(4, 0, beside_decoding=True) == whole // 4
    assert pace.chunk_tokens(10_000, 0, beside_decoding=True) == 1


def test_a_chunk_grows_twofold_at_most_and_shrinks_at_once() -> None:
    pace = make_pace()
    pace.measured(100, 0.0001)
    assert pace.chunk_tokens(1, 0, beside_decoding=True) == 200
    pace.measured(200, 2.0)
    assert pace.chunk_tokens(1, 0, beside_decoding=True) == LEAST_TOKENS


def test_far_into_a_prompt_chunks_are_short() -> None:
    pace = make_pace(most_pairs=1 << 22)
    assert settle(pace, 1e-6, known=(1 << 17) - 1) == LEAST_TOKENS
    assert settle(pace, 1e-6, known=(1 << 14) - 1) == 256


def test_a_chunk_of_a_few_tokens_tells_nothing() -> None:
    pace = make_pace()
    pace.measured(1, 1.0)
    assert pace.chunk_tokens(1, 0, beside_decoding=True) > LEAST_TOKENS


def test_a_small_bound_holds() -> None:
    pace = make_pace(16)
    pace.measured(16, 1.0)
    assert pace.chunk_tokens(1, 0, beside_decoding=True) == 16


def test_a_chunk_is_as_long_as_has_each_expert_read_once() -> None:
    """MLX computes pairs of a token and an expert by expert from 4 for each expert on."""
    assert (OF_20B, OF_120B) == (32, 128)
    assert least_tokens(4, 4) * 4 == 64, "of fewer pairs none are sorted by expert"


@pytest.mark.parametrize("least", [OF_20B, OF_120B])
def test_none_is_shorter_however_slow_the_machine(least: int) -> None:
    pace = make_pace(least=least)
    pace.measured(1000, 1000.0)
    assert pace.chunk_tokens(1, 0, beside_decoding=True) == least
    assert pace.chunk_tokens(4, 0, beside_decoding=True) == least // 4
    deep = make_pace(most_pairs=1 << 22, least=least)
    assert deep.chunk_tokens(1, 1 << 20, beside_decoding=False) == least


@pytest.mark.parametrize("least", [OF_20B, OF_120B])
def test_what_is_left_of_a_prompt_is_nothing_or_a_chunk(least: int) -> None:
    pace = make_pace(least=least)
    for left in range(1, 3000):
        tokens = pace.fit(1000, [left])
        assert 0 < tokens <= min(1000, left)
        assert left - tokens == 0 or left - tokens >= least
    # Less than two chunks cannot be two, nor is one longer than the clock says.
    assert pace.fit(least, [least + 5]) == least
    assert pace.fit(least // 2, [least // 2 + 5]) == least // 2


def test_none_of_several_prompts_is_padded_by_much() -> None:
    pace = make_pace(least=OF_120B)
    assert pace.fit(1000, [300, 2000]) == 300
    assert pace.fit(1000, [5, 2000]) == OF_120B
    assert pace.fit(1000, [5, 70]) == 70
    assert pace.fit(1000, []) == 1000


FIXED_S, TOKEN_S = 0.1, 0.001
"""A pass over all weights, and what each token adds: a GPU's ways."""


def run(pace: PrefillChunks, tokens: int, factor: float = 1.0) -> None:
    pace.measured(tokens, factor * (FIXED_S + tokens * TOKEN_S))


def settle_on_gpu(pace: PrefillChunks) -> int:
    """The chunk that it comes to on such a machine, alone."""
    for _ in range(12):
        tokens = pace.chunk_tokens(1, 0, beside_decoding=False)
        run(pace, tokens)
    return tokens


@pytest.mark.parametrize("tail", [LEAST_TOKENS, 40, 150])
def test_a_short_tail_says_nothing_of_the_next_prompt(tail: int) -> None:
    pace = make_pace()
    long = settle_on_gpu(pace)
    assert long == pytest.approx((ALONE_S - FIXED_S) / TOKEN_S, rel=0.02)
    for _ in range(5):
        run(pace, tail)
        assert pace.chunk_tokens(1, 0, beside_decoding=False) == pytest.approx(long, rel=0.02)
        beside = pace.chunk_tokens(1, 0, beside_decoding=True)
        assert beside == pytest.approx((BESIDE_DECODING_S - FIXED_S) / TOKEN_S, rel=0.05)
        run(pace, long)


def test_a_tail_first_of_all_bounds_the_next_chunk() -> None:
    pace = make_pace()
    run(pace, 50)
    assert pace.chunk_tokens(1, 0, beside_decoding=False) == 100


def test_noise_does_not_make_chunks_grow_without_end() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201
    rng = random.Random(seed)
    pace = make_pace(1 << 20, 1 << 40)
    usual = settle_on_gpu(pace)
    for _ in range(300):
        tokens = pace.chunk_tokens(1, 0, beside_decoding=False)
        assert tokens * TOKEN_S < 2.5 * usual * TOKEN_S
        run(
            pace, rng.choice([tokens, tokens, tokens, rng.randint(32, tokens)]), rng.uniform(1, 1.2)
        )
    assert usual / 2.5 < tokens


def test_it_keeps_up_where_tokens_become_slower() -> None:
    pace = make_pace()
    settle_on_gpu(pace)
    for slower in range(1, 30):
        tokens = pace.chunk_tokens(1, 0, beside_decoding=False)
        seconds = FIXED_S + tokens * TOKEN_S * (1 + slower / 5)
        assert seconds < 1.3 * ALONE_S
        pace.measured(tokens, seconds)
    assert seconds > 0.7 * ALONE_S
