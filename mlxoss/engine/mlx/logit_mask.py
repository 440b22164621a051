"""Keeping a step's choices within its rows' plans, on the device."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import mlx.core as mx
import numpy as np

from mlxoss.engine.mlx.grammar_cursor import Only, StepChoice
from mlxoss.harmony.encoding import END, FIRST_SPECIAL, START, VOCAB_SIZE
from mlxoss.harmony.grammar.matcher import Choice, Free

_SPECIALS = VOCAB_SIZE - FIRST_SPECIAL


class LogitMask:
    """One step's plans, row by row; ``None`` restricts nothing."""

    def __init__(self, plans: Sequence[StepChoice | None]) -> None:
        self._plans = plans
        self._only = [plan.id if isinstance(plan, Only) else -1 for plan in plans]
        self._free = [isinstance(plan, Free) for plan in plans]

    @property
    def leaves_no_choice(self) -> bool:
        """Whether every row's next id is known."""
        return min(self._only) >= 0

    def known_ids(self) -> mx.array:
        """The next ids (rows,) where they are all known."""
        return mx.array(self._only, dtype=mx.uint32)

    def mask(self, scores: mx.array) -> mx.array:
        """``scores`` (rows, vocabulary) with minus infinity where a row's plan says no.

        Text costs a pass over the special tokens only, a choice one over its own row; rows
        without a plan are left alone.
        """
        if any(self._free):
            specials = scores[:, FIRST_SPECIAL:]
            ends = tuple(plan.ends if isinstance(plan, Free) else None for plan in self._plans)
            scores[:, FIRST_SPECIAL:] = mx.where(_allowed_specials(ends), specials, -math.inf)
        if not any(isinstance(plan, Choice) for plan in self._plans):
            return scores
        # Row by row and joined once: writing each into the whole would copy the whole each time.
        rows = mx.split(scores, len(self._plans), axis=0)
        return mx.concatenate(
            [
                mx.where(mx.array(plan.allowed), row, -math.inf)
                if isinstance(plan, Choice)
                else row
                for plan, row in zip(self._plans, rows, strict=True)
            ],
            axis=0,
        )

    def settle(self, sampled: mx.array, fed: mx.array) -> mx.array:
        """The next ids (rows,): ``sampled`` but for what is known without; ``fed`` came last."""
        if any(self._free):
            sampled = mx.where(_array(tuple(self._free)) & (fed == END), START, sampled)
        if max(self._only) >= 0:
            only = mx.array(self._only)
            sampled = mx.where(only >= 0, only, sampled)
        return sampled.astype(mx.uint32)


@lru_cache(maxsize=256)
def _allowed_specials(ends: tuple[tuple[int, ...] | None, ...]) -> mx.array:
    """Which special tokens end each row's text (rows, specials); ``None``: all of them may come.

    Kept, since one token of text after the other asks for the same.
    """
    allowed = np.ones((len(ends), _SPECIALS), dtype=np.bool_)
    for row, own in zip(allowed, ends, strict=True):
        if own is not None:
            row.fill(False)
            row[[end - FIRST_SPECIAL for end in own]] = True
    return mx.array(allowed)


@lru_cache(maxsize=256)
def _array(values: tuple[bool, ...]) -> mx.array:
    return mx.array(values)
