"""A sharded model as the batch runs it: what it computes is the same, but rank 0 alone chooses."""

from __future__ import annotations

import mlx.core as mx

from mlxoss.engine.mlx.last_logits import LastLogits
from mlxoss.engine.mlx.model import Group, LanguageModel, LayerCache


class LeadingLogits(LastLogits):
    """Rank 0's: it has the logits, and what it chooses is what all have chosen."""

    def __init__(self, model: LanguageModel, group: Group, *, plain_caches: bool = True) -> None:
        super().__init__(model, plain_caches=plain_caches)
        self._group = group

    def agree(self, ids: mx.array, logits: mx.array) -> mx.array:
        """See ``LastLogits``. The sum comes after the forward pass's on all ranks."""
        ordered = mx.depends(ids, logits)
        assert isinstance(ordered, mx.array)
        return mx.distributed.all_sum(ordered.astype(mx.uint32), group=self._group)


class FollowingLogits(LeadingLogits):
    """Another rank's: in the logits' place it has the last hidden state, without the head's cost.

    What is chosen by that is of no account: it goes into the sum as nothing.
    """

    chooses = False

    def __call__(self, inputs: mx.array, cache: LayerCache = None) -> mx.array:
        """See ``Model``."""
        return self.last_hidden(inputs, cache)

    def agree(self, ids: mx.array, logits: mx.array) -> mx.array:
        """See ``LastLogits``."""
        return super().agree(mx.zeros_like(ids), logits)
