"""Which caches a batch has: mlx-lm's plain ones while it is one row, its batch caches for several.

Theory of operation. Rows of a batch are as long as the longest: shorter ones are padded at their
beginning, and a mask hides that. So mlx-lm's batch caches hold offsets and paddings as arrays, and
make an array of a mask for every pass. One row needs none of that. Its plain caches hold numbers,
and their mask is none for one token and the word "causal" for several, of which the attention
makes no array and skips the keys that lie ahead. Only a window that a long input crosses has an
array still. All else is the same: the same tokens lie in the same places, so that the results are
the same to the bit.

A row without padding is a batch of one as it lies, a window that went round included. So the way
there and back copies nothing, it exchanges the objects around the arrays (``to_batch``,
``to_row``). A batch of either kind, of prompts or of sequences that decode, goes it when its rows
come and go (``RowCaches``):

- A prompt that is alone begins with plain caches, new ones or those of a snapshot.
- ``extend``: as soon as there are two rows, they are joined as batches.
- ``filter`` and ``split``: what leaves, leaves as mlx-lm has it. Where one row is left its caches
  become plain ones before the next pass (``settle``), unless it is padded in a window still, since
  longer rows were beside it: then they do once it fills the window. Without the padding the sums
  would be the same but for their order, and so for the last digits.

Joining and leaving does copy. Before the next pass that is computed layer by layer, and what a
layer was made of is let go by then: never are all layers there twice, however much a command
buffer holds. Admission counts one (``SequenceBytes.grow``). Not at once: what is read of a row that
ended holds all of the batch, until the step is over.

Whoever reads a row (``Held``) gets a plain cache as it is, and must have read it before the next
step. What a snapshot fills caches with stays the snapshot's (``prefix_cache/snapshot.py``).

Lengths alone decide, so all ranks go the same way.

Written against mlx-lm 0.32.2, ``mlx_lm/models/cache.py``.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import mlx.core as mx

from mlxoss.engine.mlx.lm import BatchKVCache, BatchRotatingKVCache, KVCache, RotatingKVCache
from mlxoss.engine.mlx.model import Caches, LayerCache
from mlxoss.engine.prefix_cache.held import Held

_PLAIN = (KVCache, RotatingKVCache)


class RowCaches:
    """Goes before one of mlx-lm's two batches; ``plain`` says whether one row has plain caches."""

    plain = True
    uids: list[int]
    tokens: list[list[int]]
    prompt_cache: Caches
    _is_settled = True

    def extend(self, batch: Any) -> None:
        """Take the rows of another batch, which is of no use afterwards."""
        if self.uids and batch.uids:
            self.prompt_cache = [to_batch(cache) for cache in self.prompt_cache]
            batch.prompt_cache = [to_batch(cache) for cache in batch.prompt_cache]
        super().extend(batch)  # type: ignore[misc]
        self._is_settled = False

    def filter(self, keep: list[int]) -> None:
        """Let all rows go but those of these numbers, which ascend."""
        if len(keep) < len(self.uids):
            super().filter(keep)  # type: ignore[misc]
            self._is_settled = False

    def settle(self) -> None:
        """Before a pass: compute what became of the caches, layer by layer, and have plain ones
        where one row is left."""
        if not self._is_settled:
            for cache in self.prompt_cache:
                mx.eval(cache.state)
        self._is_settled = True
        if self.plain and len(self.uids) == 1:
            length = len(self.tokens[0])
            if not any(_is_padded(cache, length) for cache in self.prompt_cache):
                self.prompt_cache = [to_row(cache, length) for cache in self.prompt_cache]

    def extract_cache(self, index: int) -> Caches:
        """The caches of one row, to be read before the next step."""
        return list(Held(self.prompt_cache, index))


class SplitRowCaches(RowCaches):
    """Goes before mlx-lm's batch of prompts, which also splits."""

    def split(self, indices: list[int]) -> Any:
        """A batch of those rows, which leave this one."""
        sides = sorted(indices), [i for i in range(len(self.uids)) if i not in indices]
        caches, self.prompt_cache = self.prompt_cache, []
        taken: Any = self._copy()  # type: ignore[attr-defined]
        taken.plain, taken._is_settled = self.plain, self._is_settled
        taken.filter(sides[0])
        self.filter(sides[1])
        if not self.uids:
            taken.prompt_cache = caches
        while self.uids and caches:
            both = [_part(caches[0], rows) for rows in sides]
            del caches[0]
            mx.eval([part.state for part in both])
            taken.prompt_cache.append(both[0])
            self.prompt_cache.append(both[1])
        taken.settle()
        return taken


def _part(cache: LayerCache, rows: list[int]) -> LayerCache:
    """Some rows of a batch's cache, which stays as it is."""
    part = copy.copy(cache)
    part.filter(rows)
    return part


def start_row(caches: Caches) -> Caches:
    """One sequence's caches as those of a batch of one row; what has no plain kind is a batch's."""
    return [cache if type(cache) in _PLAIN else cache.merge([cache]) for cache in caches]


def to_batch(cache: LayerCache) -> LayerCache:
    """A plain cache as a batch of one row; the arrays are the same. Any other as it is."""
    if type(cache) is KVCache:
        batch = BatchKVCache([0])
        batch._idx = cache.offset
    elif type(cache) is RotatingKVCache:
        batch = BatchRotatingKVCache(cache.max_size, [0])
        batch._idx, batch._offset = cache._idx, cache.offset
        batch.rotated = _is_rotated(cache)
    else:
        return cache
    batch.keys, batch.values = cache.keys, cache.values
    batch.offset = mx.array([cache.offset])
    return batch


def _is_rotated(window: LayerCache) -> bool:
    """Whether it went round and its oldest token is not its first."""
    is_full: bool = window.keys is not None and window.keys.shape[2] == window.max_size
    return is_full and window._idx < min(window.offset, window.max_size)


def to_row(cache: LayerCache, length: int) -> LayerCache:
    """A batch of one row of ``length`` tokens, of which none is padding, as a plain cache; the
    arrays are the same. Any other as it is."""
    if type(cache) is BatchKVCache:
        row = KVCache()
    elif type(cache) is BatchRotatingKVCache:
        row = RotatingKVCache(cache.max_size)
        row._idx = cache._idx
    else:
        return cache
    row.keys, row.values, row.offset = cache.keys, cache.values, length
    return row


def _is_padded(cache: LayerCache, length: int) -> bool:
    """Whether a row of ``length`` tokens does not fill the places that its batch has taken."""
    if type(cache) is BatchRotatingKVCache and cache.rotated:
        return bool(length < cache.max_size)
    return type(cache) in (BatchKVCache, BatchRotatingKVCache) and bool(length < cache._idx)


def tokens_wide(caches: Sequence[LayerCache]) -> int:
    """How many places full attention's caches have taken, padding included."""
    full = (cache for cache in caches if isinstance(cache, KVCache | BatchKVCache))
    return max((cache.size() for cache in full), default=0)
