"""gpt-oss's forward pass with little work for the host: what mlx-lm's modules compute, bit for bit.

Theory of operation. A decode step of a Mac's GPU takes 8 to 12 ms, and the host needs several of
them to build the step's graph: mlx-lm's ``gpt_oss`` calls some 400 modules for it. Here each layer
is two functions of arrays, made once (``_Entry`` and ``_Exit``): what comes before the attention,
from the residual stream to queries, keys and values in their positions, and what comes after it.
What lies between, the cache and the attention itself, depends on lengths that change at every step.
Positions change too, but not in shape: they are an array, one for all layers that count alike.

What comes after one layer's attention and before the next one's is one function, compiled for
short inputs (``COMPILED_TOKENS``): then most of the graph is built once per shape and replayed,
and elementwise operations become one kernel each. Longer ones are computed without: their lengths
are many, and the graph costs them nothing beside the work.

The operations and their order are those of ``mlx_lm/models/gpt_oss.py`` 0.32.2 and of the layers
it is made of, so that the results are the same to the bit; ``tests/engine/test_forward.py`` holds
that for each format of weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import mlx.core as mx
import numpy as np
from mlx.nn.layers.linear import Linear as PlainLinear
from mlx.nn.layers.quantized import QuantizedLinear

from mlxoss.engine.mlx.device import computes_on_metal
from mlxoss.engine.mlx.fuse import by_expert, take_apart
from mlxoss.engine.mlx.lm import (
    create_attention_mask,
    swiglu_oai,
)
from mlxoss.engine.mlx.model import LayerCache, Network

COMPILED_TOKENS = 4
"""Inputs of up to so many tokens a row are computed by compiled functions."""

_TURNED_TOKENS = 32
"""From so many tokens a row on keys are turned in memory on a CPU, see ``_turned``."""

_BOUNDED_TOKENS = 256
_BOUNDED_LAYERS = 2
"""Of inputs of so many tokens, all rows together, at most twice so many layers are under way: what
a layer leaves behind is free only once its command buffer is done, and with large command buffers
that would be late."""

_VECTOR_TOKENS = 8
"""Up to so many tokens a row Metal's attention takes a mask of several rows as it is only if it has
a place for each head; of another one each layer makes that for itself (MLX 0.32,
``scaled_dot_product_attention.cpp``)."""

Linear = Callable[[mx.array], mx.array]
Heads = tuple[mx.array, mx.array, mx.array]
"""Queries, keys and values, each (rows, heads, n, head_dim)."""
Between = Callable[[mx.array, mx.array, mx.array], tuple[mx.array, Heads]]
"""From the stream, what was attended and the first position to the stream and the next heads."""


class Forward:
    """An mlx-lm gpt_oss model's hidden states: ids (rows, n) to (rows, n, hidden), not normed.

    ``compiled`` may be turned off, and is where ranks share the model, whose sums must come in one
    order. The weights must not be exchanged afterwards. Engine's thread.
    """

    def __init__(self, model: Network, *, compiled: bool = True) -> None:
        inner = model.model
        layers = list(inner.layers)
        self._embed = inner.embed_tokens
        self._attentions = [_Attention(layer.self_attn) for layer in layers]
        self._heads = int(layers[0].self_attn.sinks.shape[0])
        self._is_full = [kind == "full_attention" for kind in inner.layer_types]
        self._window, self._swa, self._full = inner.window_size, inner.swa_idx, inner.ga_idx
        entries, exits = [_Entry(layer) for layer in layers], [_Exit(layer) for layer in layers]
        self._parts: list[Any] = [entries[0]]
        self._parts += [
            _join(leave, enter) for leave, enter in zip(exits, entries[1:], strict=False)
        ]
        self._parts.append(exits[-1])
        is_shared = any(layer.mlp.sharding_group is not None for layer in layers)
        self._short = self._parts
        if compiled and not is_shared:
            self._short = [mx.compile(part) for part in self._parts]

    def __call__(self, inputs: mx.array, cache: Sequence[LayerCache] | None = None) -> mx.array:
        """``cache``, one entry a layer, is updated in place."""
        x: mx.array = self._embed(inputs)
        caches = [None] * len(self._attentions) if cache is None else cache
        full = self._mask(x, caches[self._full])
        sliding = self._mask(x, caches[self._swa], window_size=self._window)
        length = inputs.shape[1]
        is_short = length <= COMPILED_TOKENS
        is_bounded = not is_short and inputs.size >= _BOUNDED_TOKENS
        first, *between, last = self._short if is_short else self._parts
        offsets = _offsets(caches)
        heads = first(x, offsets[0])
        behind: mx.array | None = None
        for index, attention in enumerate(self._attentions):
            mask = full if self._is_full[index] else sliding
            attended = attention(heads, mask, caches[index])
            if index == len(between):
                x = last(x, attended)
                break
            x, heads = between[index](x, attended, offsets[index + 1])
            if is_bounded and index % _BOUNDED_LAYERS == _BOUNDED_LAYERS - 1:
                behind = _bound(x, behind)
        return x

    def _mask(self, x: mx.array, cache: LayerCache, **window: int) -> Any:
        """What all layers of a kind are masked by."""
        mask = create_attention_mask(x, cache, **window)
        rows, length, _ = x.shape
        is_array = isinstance(mask, mx.array)
        if is_array and rows > 1 and length <= _VECTOR_TOKENS and computes_on_metal():
            mask = mx.contiguous(mx.broadcast_to(mask, (rows, self._heads, *mask.shape[-2:])))
        return mask


def _offsets(caches: Sequence[LayerCache]) -> list[mx.array]:
    """Each layer's first position: of each row in a batch's caches; plain ones count by a number,
    of which those that are as far share the array."""
    shared: dict[int, mx.array] = {}
    offsets = []
    for cache in caches:
        offset = 0 if cache is None else cache.offset
        if isinstance(offset, int):
            if offset not in shared:
                shared[offset] = mx.array(offset)
            offset = shared[offset]
        offsets.append(offset)
    return offsets


def _bound(x: mx.array, behind: mx.array | None) -> mx.array:
    """Start what leads to ``x``, and wait for what was started before."""
    mx.async_eval(x)  # type: ignore[no-untyped-call]
    if behind is not None:
        mx.eval(behind)
    return x


class _Attention:
    """The cache and the attention: heads to (rows, heads, n, head_dim)."""

    def __init__(self, attention: Network) -> None:
        self._scale, self._sinks = attention.sm_scale, attention.sinks
        self._is_on_cpu = mx.default_device() == mx.Device(mx.DeviceType.cpu)

    def __call__(self, heads: Heads, mask: Any, cache: LayerCache) -> mx.array:
        q, k, v = heads
        if cache is not None:
            k, v = cache.update_and_fetch(k, v)
        if self._is_on_cpu and q.shape[2] >= _TURNED_TOKENS:
            k = _turned(k)
        attended: mx.array = mx.fast.scaled_dot_product_attention(
            q, k, v, scale=self._scale, mask=mask, sinks=self._sinks
        )
        return attended


def _turned(keys: mx.array) -> mx.array:
    """``keys`` laid out as the product with the queries reads them.

    The BLAS of MLX's build for Linux takes twice as long for a product with a transposed matrix;
    the sums are the same, in the same order.
    """
    return mx.contiguous(keys.swapaxes(-1, -2)).swapaxes(-1, -2)


class _Entry:
    """From the residual stream (rows, n, hidden) and the first position, of all rows () or of each
    (rows,), to the layer's ``Heads``."""

    def __init__(self, layer: Network) -> None:
        attention = layer.self_attn
        self._norm = _norm(layer.input_layernorm)
        self._q = _linear(attention.q_proj)
        self._k = _linear(attention.k_proj)
        self._v = _linear(attention.v_proj)
        self._rope = _rope(attention.rope)
        self._dim = attention.head_dim

    def __call__(self, x: mx.array, offset: mx.array) -> Heads:
        normed = self._norm(x)
        q, k, v = (self._part(product(normed)) for product in (self._q, self._k, self._v))
        return self._rope(q, offset), self._rope(k, offset), v

    def _part(self, x: mx.array) -> mx.array:
        """(rows, n, heads * head_dim) to (rows, heads, n, head_dim)."""
        rows, length, _ = x.shape
        if length == 1:  # the same memory in the same order, for one operation less
            return x.reshape(rows, -1, 1, self._dim)
        return x.reshape(rows, length, -1, self._dim).swapaxes(1, 2)


class _Exit:
    """From the residual stream and what was attended (rows, heads, n, head_dim) to the stream."""

    def __init__(self, layer: Network) -> None:
        self._o = _linear(layer.self_attn.o_proj)
        self._norm = _norm(layer.post_attention_layernorm)
        self._experts = _Experts(layer.mlp)

    def __call__(self, x: mx.array, attended: mx.array) -> mx.array:
        rows, length, _ = x.shape
        if length > 1:
            attended = attended.swapaxes(1, 2)
        x = x + self._o(attended.reshape(rows, length, -1))
        return x + self._experts(self._norm(x))


def _join(leave: _Exit, enter: _Entry) -> Between:
    def between(x: mx.array, attended: mx.array, offset: mx.array) -> tuple[mx.array, Heads]:
        x = leave(x, attended)
        return x, enter(x, offset)

    return between


class _Experts:
    """The router and the experts it chooses: (rows, n, hidden) to the same."""

    def __init__(self, mlp: Network) -> None:
        self._router = _linear(mlp.router)
        self._count = mlp.num_experts_per_tok
        self._group = mlp.sharding_group
        experts = mlp.experts
        self._down = _Gathered(experts.down_proj)
        self._fused = _Gathered(experts.gate_up_proj) if "gate_up_proj" in experts else None
        if self._fused is not None:
            self._interleaved = experts.interleaved
        else:
            self._gate, self._up = _Gathered(experts.gate_proj), _Gathered(experts.up_proj)

    def __call__(self, x: mx.array) -> mx.array:
        scores = self._router(x)
        count = self._count
        chosen = mx.argpartition(scores, kth=-count, axis=-1)[..., -count:]
        shares = mx.softmax(mx.take_along_axis(scores, chosen, axis=-1), axis=-1, precise=True)
        y = (by_expert(x, chosen, self._compute) * mx.expand_dims(shares, axis=-1)).sum(axis=-2)
        if self._group is not None:
            y = mx.distributed.all_sum(y, group=self._group)
        return y

    def _compute(self, x: mx.array, experts: mx.array, is_sorted: bool) -> mx.array:
        if self._fused is None:
            up = self._up(x, experts, is_sorted)
            gate = self._gate(x, experts, is_sorted)
        else:
            both = self._fused(x, experts, is_sorted)
            gate, up = take_apart(both, interleaved=self._interleaved)
        return self._down(swiglu_oai(gate, up), experts, is_sorted)


class _Gathered:
    """All experts' matrices of one kind: each row times that of its expert, and its bias."""

    def __init__(self, module: Network) -> None:
        self._weight = module["weight"]
        self._bias = _evaluated(mx.expand_dims(module["bias"], -2))
        self._is_quantised = "scales" in module
        if not self._is_quantised:
            self._weight = _evaluated(self._weight.swapaxes(-1, -2))
        else:
            self._scales, self._biases = module["scales"], module.get("biases")
            self._how = {"group_size": module.group_size, "bits": module.bits, "mode": module.mode}
        self._places: dict[tuple[int, ...], mx.array] = {}

    def __call__(self, x: mx.array, experts: mx.array, is_sorted: bool) -> mx.array:
        # MLX makes them anew at each call; sorted it must, to choose the kernel for that.
        places = None if is_sorted else self._rows_in_order(x.shape[:-2], experts.shape)
        if self._is_quantised:
            y = mx.gather_qmm(
                x,
                self._weight,
                self._scales,
                self._biases,
                lhs_indices=places,
                rhs_indices=experts,
                transpose=True,
                sorted_indices=is_sorted,
                **self._how,
            )
        else:
            y = mx.gather_mm(
                x, self._weight, lhs_indices=places, rhs_indices=experts, sorted_indices=is_sorted
            )
        return y + self._bias[experts]

    def _rows_in_order(self, shape: tuple[int, ...], wanted: tuple[int, ...]) -> mx.array:
        """The number of each of ``x``'s rows, for each expert that is ``wanted`` of it."""
        places = self._places.get(shape)
        if places is None:
            # Made from data: an operation would be computed anew in each compiled step.
            numbers = np.arange(math.prod(shape), dtype=np.uint32).reshape(shape)
            places = self._places[shape] = mx.array(np.broadcast_to(numbers, wanted))
        return places


def _evaluated(constant: mx.array) -> mx.array:
    """What is made of weights, as most are views: each compiled step would make it anew else."""
    mx.eval(constant)
    return constant


def _norm(module: Network) -> Linear:
    weight, eps = module["weight"], module.eps
    return lambda x: mx.fast.rms_norm(x, weight, eps)


def _rope(rope: Network) -> Callable[[mx.array, mx.array], mx.array]:
    """Rotary positions of (rows, heads, n, head_dim), given the first one as an array."""
    if rope.mscale != 1.0:  # a model from elsewhere: the loader puts it into the attention's scale
        return lambda x, offset: rope(x, offset=offset)
    dims, freqs = rope.dims, _evaluated(rope._freqs)

    def turn(x: mx.array, offset: mx.array) -> mx.array:
        return mx.fast.rope(
            x, dims, traditional=False, base=None, scale=1.0, offset=offset, freqs=freqs
        )

    return turn


def _linear(module: Network) -> Linear:
    """The module without its dispatch; one that ranks share as it is."""
    if type(module) is QuantizedLinear:
        return _quantised(module)
    if type(module) is PlainLinear and "bias" in module:
        weight, bias = _evaluated(module["weight"].T), module["bias"]
        return lambda x: mx.addmm(bias, x, weight)
    return module  # type: ignore[no-any-return]


def _quantised(module: Network) -> Linear:
    weight, scales, biases = module["weight"], module["scales"], module.get("biases")
    how = {"group_size": module.group_size, "bits": module.bits, "mode": module.mode}
    bias = module.get("bias")

    def product(x: mx.array) -> mx.array:
        y = mx.quantized_matmul(x, weight, scales=scales, biases=biases, transpose=True, **how)
        return y if bias is None else y + bias

    return product
