"""What communication costs a step, measured by itself."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import Any

import mlx.core as mx

from mlxoss.engine.mlx.model import Group, Network

SUMS_PER_LAYER = 2
"""After the attention and after the experts (``gpt_oss.Model.shard``)."""

_TIMES = 5


@dataclass(frozen=True, slots=True)
class Sums:
    """The sums of a decode step: ``count`` of hidden states (``width`` of ``dtype``), then ids."""

    count: int
    width: int
    dtype: mx.Dtype

    def bytes_per_step(self, rows: int = 1) -> int:
        """What each rank adds to them in a step of ``rows`` sequences."""
        return rows * (self.count * self.width * self.dtype.size + mx.uint32.size)


def read_sums(model: Network) -> Sums:
    """Those of an mlx-lm model that is sharded."""
    args = model.args
    count = SUMS_PER_LAYER * args.num_hidden_layers
    return Sums(count, args.hidden_size, model.model.norm.weight.dtype)


def measure(sums: Sums, group: Group) -> float:
    """Seconds that the sums of a step of one sequence take with nothing between them.

    The median of a few. All ranks must call it at the same time, on the engine's thread.
    """
    took = [_run(sums, group) for _ in range(1 + _TIMES)]
    return statistics.median(took[1:])  # the first waits for whoever comes last


def _run(sums: Sums, group: Group) -> float:
    hidden: Any = mx.zeros((1, 1, sums.width), sums.dtype)
    ids = mx.zeros((1,), mx.uint32)
    mx.eval(hidden, ids)
    began = time.perf_counter()
    for _ in range(sums.count):
        hidden = mx.distributed.all_sum(hidden, group=group)
    ids = mx.distributed.all_sum(mx.depends(ids, hidden), group=group)
    mx.eval(ids)
    return time.perf_counter() - began
