"""What the engine needs of a language model."""

from __future__ import annotations

from typing import Any, Protocol

import mlx.core as mx

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
