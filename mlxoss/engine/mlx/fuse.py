"""An expert's gate and up projections as one matrix: one multiplication instead of two a layer.

The rows of a product do not depend on each other, so each value is what it was, to the bit.
"""

from __future__ import annotations

from collections.abc import Callable

import mlx.core as mx
from mlx.nn.layers.base import Module

from mlxoss.engine.mlx.lm import gather_sort, scatter_unsort
from mlxoss.engine.mlx.model import Network

SORTED_PAIRS = 64
"""From so many pairs of a token and an expert on they are sorted by expert, as mlx-lm does."""

_PARTS = ("weight", "scales", "biases", "bias")


Compute = Callable[[mx.array, mx.array, bool], mx.array]
"""Rows, the number of each one's expert, and whether they are sorted by it, to its outputs."""


def by_expert(x: mx.array, chosen: mx.array, compute: Compute) -> mx.array:
    """What each chosen expert makes of each row: hidden states (rows, n, hidden) and the experts
    (rows, n, chosen) of each to (rows, n, chosen, hidden). Many pairs are sorted by expert."""
    x = mx.expand_dims(x, (-2, -3))
    if chosen.size < SORTED_PAIRS:
        return compute(x, chosen, False).squeeze(-2)
    x, experts, order = gather_sort(x, chosen)
    y: mx.array = scatter_unsort(compute(x, experts, True), order, chosen.shape)
    return y.squeeze(-2)


class FusedExperts(Module):
    """mlx-lm's ``SwitchGLU`` with the gate's rows before the up projection's.

    ``gate_up_proj`` is one of mlx-lm's expert layers, of (experts, 2 * inner, hidden).
    """

    def __init__(self, experts: Network) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        gate, up = experts.gate_proj, experts.up_proj
        for name in _PARTS:
            if gate.get(name) is not None:
                gate[name] = mx.concatenate([gate[name], up[name]], axis=1)
        self.gate_up_proj = gate
        self.down_proj = experts.down_proj
        self.activation = experts.activation

    def __call__(self, x: mx.array, indices: mx.array) -> mx.array:
        """As ``SwitchGLU``: hidden states (rows, n, hidden) and the experts (rows, n, chosen) of
        each to what each of these makes of it (rows, n, chosen, hidden)."""
        return by_expert(x, indices, self._compute)

    def _compute(self, x: mx.array, experts: mx.array, is_sorted: bool) -> mx.array:
        gate, up = mx.split(self.gate_up_proj(x, experts, sorted_indices=is_sorted), 2, axis=-1)
        y: mx.array = self.down_proj(self.activation(up, gate), experts, sorted_indices=is_sorted)
        return y


def fuse_experts(layer: Network) -> None:
    """Fuse a layer's experts, in memory afterwards; gate and up projections are there twice
    meanwhile, and then no longer. A rank's part is cut before.

    Two that are packed in different ways, as a converter that chooses matrix by matrix leaves
    them, stay apart."""
    experts = layer.mlp.experts
    if _packing(experts.gate_proj) != _packing(experts.up_proj):
        return
    layer.mlp.experts = FusedExperts(experts)
    mx.eval(layer.parameters())
    # Kept for reuse they would add up layer by layer.
    mx.clear_cache()


def _packing(module: Network) -> object:
    """How a projection's numbers are laid out."""
    how = [getattr(module, name, None) for name in ("group_size", "bits", "mode")]
    parts = [(name, module.get(name)) for name in _PARTS]
    return how, [(name, part.shape, part.dtype) for name, part in parts if part is not None]
