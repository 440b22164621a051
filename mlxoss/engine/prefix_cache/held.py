"""One sequence's KV caches as a snapshot reads them: its row of a batch's, now or a bit earlier.

A sliding window forgets what has left it, but not before the next tokens come: after a chunk of a
prefill its cache holds the whole chunk, and before it the window of the chunk's first token. So
the state at any length inside the last chunk can be cut out once the chunk is computed, and none
has to end where a snapshot is wanted. mlx-lm 0.32.2, ``mlx_lm/models/cache.py``:
``RotatingKVCache._update_concat`` and the same of ``BatchRotatingKVCache``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import mlx.core as mx

from mlxoss.engine.mlx.lm import BatchKVCache, BatchRotatingKVCache, KVCache, RotatingKVCache
from mlxoss.engine.mlx.model import LayerCache


class Held:
    """The caches of the sequence in row ``index`` of ``caches``, one per layer; those of a batch or
    of one sequence. At ``length``, which lies inside the last chunk, or at its end.

    Iterated in the layers' order, as often as wanted, before the batch goes on. Each time they are
    views, made anew: nothing is copied, and nothing of the batch's is kept from being freed.
    """

    def __init__(
        self, caches: Sequence[LayerCache], index: int = 0, length: int | None = None
    ) -> None:
        self._caches = caches
        self._index = index
        self._length = length

    def at(self, length: int) -> Held:
        """The same sequence when it was so long."""
        return Held(self._caches, self._index, length)

    def __iter__(self) -> Iterator[LayerCache]:
        for cache in self._caches:
            own = _row(cache, self._index)
            yield own if self._length is None else _shortened(own, self._length)


def _row(cache: LayerCache, index: int) -> LayerCache:
    """What ``cache.extract`` gives, but not copied. One of another kind as it is."""
    if isinstance(cache, BatchKVCache):
        first, last = cache.left_padding.tolist()[index], cache._idx
        return _full(*_cut(cache, index, first, last))
    if isinstance(cache, BatchRotatingKVCache):
        first = max(0, cache.left_padding.tolist()[index])
        last, turned = cache._idx, 0
        if cache.rotated:
            last, turned = cache.max_size, -cache._idx
        offset = cache.offset.tolist()[index]
        return _window(cache.max_size, offset, *_cut(cache, index, first, last, turned))
    return cache


def _cut(
    cache: LayerCache, index: int, first: int, last: int, turned: int = 0
) -> tuple[mx.array, mx.array]:
    """A row's keys and values at the places ``first`` to ``last``, once they are ``turned``."""
    keys, values = cache.keys[index : index + 1], cache.values[index : index + 1]
    if turned:
        keys, values = mx.roll(keys, turned, 2), mx.roll(values, turned, 2)
    return keys[:, :, first:last], values[:, :, first:last]


def _shortened(cache: LayerCache, length: int) -> LayerCache:
    """One sequence's ``cache`` when the sequence was of ``length``."""
    if length == cache.offset:
        return cache
    if isinstance(cache, KVCache):
        return _full(cache.keys[:, :, :length], cache.values[:, :, :length])
    if isinstance(cache, RotatingKVCache):
        # A row shorter than others has padding at its beginning that is not told of: count back.
        end = cache.keys.shape[2] - (cache.offset - length)
        first = end - min(length, cache.max_size)
        assert cache._idx == cache.keys.shape[2], "the window was not filled by a chunk"
        assert first >= 0, "the window at that length is gone"
        keys, values = cache.keys[:, :, first:end], cache.values[:, :, first:end]
        return _window(cache.max_size, length, keys, values)
    return cache


def _full(keys: mx.array, values: mx.array) -> LayerCache:
    cache = KVCache()
    cache.keys, cache.values, cache.offset = keys, values, keys.shape[2]
    return cache


def _window(max_size: int, offset: int, keys: mx.array, values: mx.array) -> LayerCache:
    cache = RotatingKVCache(max_size)
    cache.keys, cache.values, cache.offset = keys, values, offset
    cache._idx = keys.shape[2]
    return cache
