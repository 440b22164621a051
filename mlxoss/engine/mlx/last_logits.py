"""A model as the batch runs it: its last position's logits and nothing else."""

from __future__ import annotations

import mlx.core as mx

from mlxoss.engine.mlx.forward import Forward
from mlxoss.engine.mlx.lm import gpt_oss
from mlxoss.engine.mlx.model import Caches, LanguageModel, LayerCache, Network
from mlxoss.engine.mlx.row_caches import start_row

_SHORT_PROMPT = 40
"""So long that its experts are sorted, as those of any prompt are."""


class LastLogits:
    """The model with float32 logits of the last position alone: ids (rows, n) to (rows, 1, ...).

    In bfloat16, log probabilities near -10 are 0.06 apart: too coarse to report or to sample by.
    On the CPU it also keeps a sequence's rounding independent of the rows it shares a batch with;
    Metal picks its kernels by how many and how long they are, and these round differently. Only
    the last position's are ever used, and the vocabulary is what an id costs most for.

    ``compiled`` is as for ``Forward``, by which gpt-oss runs; another model runs as it is. With
    ``plain_caches`` a batch of one row has those (``row_caches``).
    """

    chooses = True
    """Whether what is chosen by its output counts."""

    def __init__(
        self, model: LanguageModel, *, compiled: bool = True, plain_caches: bool = True
    ) -> None:
        self._model: Network = model
        self.plain_caches = plain_caches
        self.args = model.args
        is_known = isinstance(model, gpt_oss.Model)
        self._forward = Forward(model, compiled=compiled) if is_known else None

    def __call__(self, inputs: mx.array, cache: LayerCache = None) -> mx.array:
        """See ``Model``."""
        if self._forward is None:
            logits = self._model(inputs, cache=cache)[:, -1:]
        else:
            logits = self._model.lm_head(self.last_hidden(inputs, cache))
        logits32: mx.array = logits.astype(mx.float32)
        return logits32

    def last_hidden(self, inputs: mx.array, cache: LayerCache = None) -> mx.array:
        """What gpt-oss's head is applied to: ids (rows, n) to (rows, 1, hidden)."""
        assert self._forward is not None
        hidden: mx.array = self._model.model.norm(self._forward(inputs, cache)[:, -1:])
        return hidden

    def use_once(self, rows: int) -> None:
        """Compute a short prompt and a step, of one row and of ``rows``, and forget them.

        Metal makes each kernel at its first use, for which the first request would wait.
        """
        for count in (1, rows):
            cache = self.make_caches(count)
            ids = mx.zeros((count, _SHORT_PROMPT), dtype=mx.uint32)
            mx.eval(self(ids, cache=cache))
            mx.eval(self(ids[:, :1], cache=cache))
        del cache
        mx.clear_cache()

    def make_cache(self) -> Caches:
        """See ``Model``."""
        return self._model.make_cache()  # type: ignore[no-any-return]

    def make_caches(self, rows: int) -> Caches:
        """Empty caches as a batch of ``rows`` has them."""
        caches = self.make_cache()
        if rows == 1 and self.plain_caches:
            return start_row(caches)
        return [cache.merge([cache] * rows) for cache in caches]

    @property
    def network(self) -> Network:
        """The mlx-lm model, which holds the weights."""
        return self._model

    def agree(self, ids: mx.array, logits: mx.array) -> mx.array:
        """The ids (rows,) that the next step feeds, given those chosen here by ``logits``."""
        return ids
