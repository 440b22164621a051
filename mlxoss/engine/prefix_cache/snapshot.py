"""A sequence's KV cache taken apart into what others can share and what not, and put together.

Full attention keeps a key and a value per token for good: those of a common beginning are the
same in every sequence. A sliding window keeps the last ones only and cannot be rolled back once
older ones were overwritten, so its state belongs to one length. mlx-lm 0.32.2,
``mlx_lm/models/cache.py``: ``KVCache`` and ``RotatingKVCache``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import mlx.core as mx

from mlxoss.engine.mlx.lm import KVCache, RotatingKVCache
from mlxoss.engine.mlx.model import LayerCache

Pair = tuple[mx.array, mx.array]
"""Keys and values of one layer, (1, heads, tokens, width)."""


@dataclass(frozen=True, eq=False, slots=True)
class Pairs:
    """Evaluated keys and values of some layers, in their order; a ``Run`` and a ``State``."""

    layers: tuple[Pair, ...]

    @property
    def nbytes(self) -> int:
        """Their size."""
        return sum(keys.nbytes + values.nbytes for keys, values in self.layers)

    def split(self, at: int) -> tuple[Pairs, Pairs]:
        """The first ``at`` tokens' and the others', each with memory of its own."""
        first, second = self._part(slice(0, at)), self._part(slice(at, None))
        mx.eval(first.layers, second.layers)
        return first, second

    def _part(self, tokens: slice) -> Pairs:
        return Pairs(tuple(_part(keys, values, tokens) for keys, values in self.layers))


def can_be_kept(caches: Iterable[LayerCache]) -> bool:
    """Whether every layer's cache is of a kind that this file knows."""
    return all(type(cache) in (KVCache, RotatingKVCache) for cache in caches)


def read_snapshot(caches: Iterable[LayerCache], start: int) -> tuple[Pairs, Pairs]:
    """What full attention keeps of one sequence's tokens from ``start`` on, and what the sliding
    windows hold at its end, oldest token first.

    Evaluated at once: each evaluation has the host wait for the device. Only what is kept is
    copied, so the memory that it takes is ``snapshot_bytes``.
    """
    run: list[Pair] = []
    windows: list[Pair] = []
    for cache in caches:
        if isinstance(cache, KVCache):
            run.append(_part(cache.keys, cache.values, slice(start, cache.offset)))
        else:
            windows.append(_window(cache))
    mx.eval(run, windows)
    return Pairs(tuple(run)), Pairs(tuple(windows))


def snapshot_bytes(caches: Iterable[LayerCache], start: int) -> tuple[int, int]:
    """The sizes of ``read_snapshot``, which is not computed for that."""
    run = windows = 0
    for cache in caches:
        if isinstance(cache, KVCache):
            run += _token_bytes(cache) * (cache.offset - start)
        else:
            windows += _token_bytes(cache) * cache.size()
    return run, windows


def _token_bytes(cache: LayerCache) -> int:
    pair: int = cache.keys.nbytes + cache.values.nbytes
    return pair // int(cache.keys.shape[2])


def read_window_tokens(caches: Sequence[LayerCache]) -> int:
    """How many tokens the sliding windows of a model hold, 0 if it has none."""
    return max(
        (cache.max_size for cache in caches if isinstance(cache, RotatingKVCache)), default=0
    )


def _window(cache: LayerCache) -> Pair:
    # A prefill leaves a window longer than it should be until the next token.
    last = slice(-cache.size(), None)
    return _part(cache._temporal_order(cache.keys), cache._temporal_order(cache.values), last)


def fill_caches(
    caches: Sequence[LayerCache], length: int, runs: Sequence[Pairs], windows: Pairs
) -> None:
    """Make new ``caches`` those of a sequence of ``length`` tokens; nothing is evaluated.

    The memory may be the snapshot's own, the arrays are not: what a cache writes goes into its
    array, and MLX copies memory that another one has too.
    """
    full = iter(zip(*(run.layers for run in runs), strict=True))
    ends = iter(windows.layers)
    for cache in caches:
        if isinstance(cache, KVCache):
            keys, values = zip(*next(full), strict=True)
            cache.keys, cache.values = _joined(keys), _joined(values)
            cache.offset = length
        else:
            cache.keys, cache.values = (array[...] for array in next(ends))
            cache.offset = length
            cache._idx = cache.keys.shape[2]


def _joined(parts: Sequence[mx.array]) -> mx.array:
    return parts[0][...] if len(parts) == 1 else mx.concatenate(list(parts), axis=2)


def _part(keys: mx.array, values: mx.array, tokens: slice) -> Pair:
    """A copy of a layer's keys and values of ``tokens``, not evaluated yet."""
    return mx.contiguous(keys[:, :, tokens]), mx.contiguous(values[:, :, tokens])
