"""An expert's gate and up projections as one matrix: one multiplication instead of two a layer.

The rows of a product do not depend on each other, so each value is what it was, to the bit.
OpenAI's own format has them as one matrix already, row by row in turn, which needs no more than to
be taken apart after the product: nothing is copied to load it. Other formats have two matrices,
which become one.
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
    """mlx-lm's ``SwitchGLU`` with gate and up projections in one matrix.

    ``gate_up_proj`` is one of mlx-lm's expert layers, of (experts, 2 * inner, hidden). Its rows are
    all of the gate and then all of the up projection, or, ``interleaved``, by turns.
    """

    def __init__(self, gate_up: Network, experts: Network, *, interleaved: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.gate_up_proj = gate_up
        self.down_proj = experts.down_proj
        self.activation = experts.activation
        self.interleaved = interleaved

    def __call__(self, x: mx.array, indices: mx.array) -> mx.array:
        """As ``SwitchGLU``: hidden states (rows, n, hidden) and the experts (rows, n, chosen) of
        each to what each of these makes of it (rows, n, chosen, hidden)."""
        return by_expert(x, indices, self._compute)

    def _compute(self, x: mx.array, experts: mx.array, is_sorted: bool) -> mx.array:
        both = self.gate_up_proj(x, experts, sorted_indices=is_sorted)
        gate, up = take_apart(both, interleaved=self.interleaved)
        y: mx.array = self.down_proj(self.activation(up, gate), experts, sorted_indices=is_sorted)
        return y


def take_apart(both: mx.array, *, interleaved: bool) -> tuple[mx.array, mx.array]:
    """The gate's and the up projection's part of what a fused matrix gave (..., 2 * inner).

    Views, either way: what comes next is elementwise, and MLX's kernels for that read any strides.
    """
    if interleaved:
        return both[..., ::2], both[..., 1::2]
    gate, up = mx.split(both, 2, axis=-1)
    return gate, up


def expect_interleaved(layer: Network) -> None:
    """Have a layer whose weights are not read yet expect gate and up as OpenAI publishes them: one
    matrix whose rows are by turns the gate's and the up projection's. It is used as it is."""
    experts = layer.mlp.experts
    gate = experts.gate_proj
    for name in ("weight", "bias"):
        count, rows, *columns = gate[name].shape
        gate[name] = mx.zeros((count, 2 * rows, *columns))  # never computed
    layer.mlp.experts = FusedExperts(gate, experts, interleaved=True)


def fuse_experts(layer: Network) -> None:
    """Fuse a layer's experts, in memory afterwards; gate and up projections are there twice
    meanwhile, and then no longer. A rank's part is cut before.

    Two that are packed in different ways, as a converter that chooses matrix by matrix leaves
    them, stay apart, and what is one matrix already stays as it is."""
    experts = layer.mlp.experts
    if isinstance(experts, FusedExperts) or not _are_alike(experts):
        return
    gate, up = experts.gate_proj, experts.up_proj
    for name in _PARTS:
        if gate.get(name) is not None:
            gate[name] = mx.concatenate([gate[name], up[name]], axis=1)
    layer.mlp.experts = FusedExperts(gate, experts, interleaved=False)
    del experts, up
    mx.eval(layer.parameters())
    # Kept for reuse they would add up layer by layer.
    mx.clear_cache()


def _are_alike(experts: Network) -> bool:
    return _packing(experts.gate_proj) == _packing(experts.up_proj)


def _packing(module: Network) -> object:
    """How a projection's numbers are laid out."""
    how = [getattr(module, name, None) for name in ("group_size", "bits", "mode")]
    parts = [(name, module.get(name)) for name in _PARTS]
    return how, [(name, part.shape, part.dtype) for name, part in parts if part is not None]
