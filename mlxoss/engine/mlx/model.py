"""What the engine needs of a language model."""

from __future__ import annotations

from typing import Any, Protocol

import mlx.core as mx
from mlx_lm.models import gpt_oss

LayerCache = Any
"""What a layer keeps of the tokens so far, one of mlx-lm's classes, which have no types."""

Caches = list[LayerCache]
"""One per layer."""

Network = Any
"""An mlx-lm model with all of its parts."""

Progress = Any
"""What mlx-lm's ``BatchGenerator`` tells of a sequence: a response or a prompt's progress."""

Group = Any
"""An ``mx.distributed.Group``."""


class Model(Protocol):
    """What runs: ids (rows, n) to logits (rows, n, vocabulary)."""

    def __call__(self, inputs: mx.array, cache: LayerCache = None) -> mx.array:
        """Run the model; ``cache`` is updated in place."""

    def make_cache(self) -> Caches:
        """An empty KV cache for one sequence, one entry per layer."""


class LanguageModel(Model, Protocol):
    """What is used of an mlx-lm model."""

    args: Any


class LastLogits:
    """The model with float32 logits of the last position alone: ids (rows, n) to (rows, 1, ...).

    In bfloat16, log probabilities near -10 are 0.06 apart: too coarse to report or to sample by.
    On the CPU it also keeps a sequence's rounding independent of the rows it shares a batch with;
    Metal picks its kernels by how many and how long they are, and these round differently. Only
    the last position's are ever used, and the vocabulary is what an id costs most for.
    """

    chooses = True
    """Whether what is chosen by its output counts."""

    def __init__(self, model: LanguageModel) -> None:
        self._model = model
        self.args = model.args

    def __call__(self, inputs: mx.array, cache: LayerCache = None) -> mx.array:
        """See ``Model``."""
        model = self._model
        if isinstance(model, gpt_oss.Model):
            logits = model.lm_head(model.model(inputs, cache)[:, -1:])
        else:
            logits = model(inputs, cache=cache)[:, -1:]
        logits32: mx.array = logits.astype(mx.float32)
        return logits32

    def make_cache(self) -> Caches:
        """See ``Model``."""
        return self._model.make_cache()

    @property
    def network(self) -> Network:
        """The mlx-lm model, which holds the weights."""
        return self._model

    def agree(self, ids: mx.array, logits: mx.array) -> mx.array:
        """The ids (rows,) that the next step feeds, given those chosen here by ``logits``."""
        return ids
