"""Long prompts in short samples: texts that stand for much longer ones.

Training on ten thousand tokens is too dear on a CPU, and what makes such a prompt hard is simple:
what counts lies far away, and much else is attended to beside it. So inside a ``far`` text the
positions jump, and each of its tokens counts as many times in full attention as there are
positions for it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import numpy as np

from mlxoss.demo.training.render import Span

MOST_POSITIONS = 30_000
_MOST_COPIES = 80
_SHARE_PLAIN = 0.2
"""Samples that are as long as they are."""


def stretch(
    rng: random.Random, length: int, spans: Sequence[Span]
) -> tuple[np.ndarray, np.ndarray]:
    """Each token's position, and how often it counts (its logarithm), both ``(length,)``."""
    steps = np.ones(length, np.int64)
    counts = np.zeros(length, np.float32)
    far = sum(end - start for start, end in spans)
    if far and rng.random() > _SHARE_PLAIN:
        most = min(MOST_POSITIONS - length, far * _MOST_COPIES)
        added = math.exp(rng.uniform(math.log(100), math.log(max(most, 101))))
        for start, end in spans:
            _stretch_span(rng, (steps, counts), (start, end), added / far)
    return np.cumsum(steps) - 1, counts


def _stretch_span(
    rng: random.Random, arrays: tuple[np.ndarray, np.ndarray], span: Span, more: float
) -> None:
    """``more`` positions a token, as jumps between blocks."""
    steps, counts = arrays
    at, end = span
    while at < end:
        size = min(rng.randint(6, 40), end - at)
        gap = int(size * more * rng.uniform(0.5, 1.5))
        steps[at] += gap
        counts[at : at + size] = math.log((size + gap) / size)
        at += size
