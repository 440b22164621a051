"""Chunks of a prefill by the clock."""

from __future__ import annotations

import pytest

from mlxoss.engine.mlx.prefill_chunks import ALONE_S, BESIDE_DECODING_S, LEAST_TOKENS, PrefillChunks


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
    pace = PrefillChunks(2048, 1 << 25)
    beside = settle(pace, 1 / tokens_per_s)
    assert beside == pytest.approx(max(LEAST_TOKENS, BESIDE_DECODING_S * tokens_per_s), abs=1)
    alone = settle(pace, 1 / tokens_per_s, beside_decoding=False)
    assert alone == pytest.approx(min(2048, ALONE_S * tokens_per_s), abs=1)


def test_rows_share_a_chunk() -> None:
    pace = PrefillChunks(2048, 1 << 25)
    whole = settle(pace, 1 / 1000)
    assert pace.chunk_tokens(4, 0, beside_decoding=True) == whole // 4
    assert pace.chunk_tokens(10_000, 0, beside_decoding=True) == 1


def test_a_chunk_grows_twofold_at_most_and_shrinks_at_once() -> None:
    pace = PrefillChunks(2048, 1 << 25)
    pace.measured(100, 0.0001)
    assert pace.chunk_tokens(1, 0, beside_decoding=True) == 200
    pace.measured(200, 2.0)
    assert pace.chunk_tokens(1, 0, beside_decoding=True) == LEAST_TOKENS


def test_far_into_a_prompt_chunks_are_short() -> None:
    pace = PrefillChunks(2048, 1 << 22)
    assert settle(pace, 1e-6, known=(1 << 17) - 1) == LEAST_TOKENS
    assert settle(pace, 1e-6, known=(1 << 14) - 1) == 256


def test_a_chunk_of_a_few_tokens_tells_nothing() -> None:
    pace = PrefillChunks(2048, 1 << 25)
    pace.measured(1, 1.0)
    assert pace.chunk_tokens(1, 0, beside_decoding=True) > LEAST_TOKENS


def test_a_small_bound_holds() -> None:
    pace = PrefillChunks(16, 1 << 25)
    pace.measured(16, 1.0)
    assert pace.chunk_tokens(1, 0, beside_decoding=True) == 16
