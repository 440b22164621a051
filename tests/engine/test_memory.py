"""Shares of the memory: never more than there is, less beside a model."""

from __future__ import annotations

import mlx.core as mx

from mlxoss.engine.mlx.device import budget_bytes
from mlxoss.engine.mlx.memory import Budget, limit_reuse


def test_the_prefix_cache_gets_a_share_of_what_is_left() -> None:
    mx.clear_cache()
    budget = Budget(budget_bytes())
    before = budget.spare_bytes()
    assert 0 < before <= budget_bytes() // 4
    assert Budget(budget_bytes(), 5).spare_bytes() == 5
    weights = mx.zeros((1 << 22,), dtype=mx.float32)
    mx.eval(weights)
    assert budget.spare_bytes() <= before - weights.nbytes // 4


def test_memory_for_reuse_is_bounded() -> None:
    usual = mx.set_cache_limit(1 << 40)
    try:
        limit_reuse(budget_bytes())
        assert 0 < mx.set_cache_limit(usual) <= 1 << 30
        limit_reuse(1 << 30)  # memory_limit counts, where it is set
        assert mx.set_cache_limit(usual) == 1 << 27
    finally:
        mx.set_cache_limit(usual)
