"""How much a checkpoint has the device read and compute: bytes a decode step, operations a token.

By the headers of its own tensors, without MLX. A chip's bandwidth by the bytes is the most steps
that it can make; no way of computing the same reads less.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mlxoss.engine.capacity import Footprint
from mlxoss.engine.checkpoint.config import ModelConfig
from mlxoss.engine.checkpoint.folder import Checkpoint

_EXPERT = re.compile(r"\.mlp\.(experts\.|mlp[12]_)")
_EMBEDDING = re.compile(r"(model\.embed_tokens|embedding)\.")
"""Of which a token reads one row."""


@dataclass(frozen=True, slots=True)
class StepReads:
    """Bytes: ``dense`` once a step, ``experts`` are all layers' experts together, ``token_cache``
    one token's keys and values in the layers that attend to everything, ``window_cache`` in the
    others."""

    dense: int
    experts: int
    token_cache: int
    window_cache: int
    config: ModelConfig

    def step_bytes(self, rows: int, context: int) -> float:
        """What one decode step of ``rows`` sequences reads, each ``context`` tokens long.

        Rows choose their experts independently of each other: of E experts, k of which a row
        chooses, E * (1 - (1 - k / E) ** rows) are read.
        """
        config = self.config
        missed = 1 - config.num_experts_per_tok / config.num_local_experts
        windows = min(context, config.sliding_window) * self.window_cache
        caches = rows * (context * self.token_cache + windows)
        return self.dense + self.experts * (1 - missed**rows) + caches


def read_step_reads(checkpoint: Checkpoint, *, has_metal: bool) -> StepReads:
    """Add up the tensors by what reads them."""
    config, tensors = checkpoint.config, checkpoint.tensors.items()
    footprint: Footprint = checkpoint.footprint(has_metal=has_metal)
    pair = 2 * config.num_key_value_heads * config.head_dim * footprint.value_bytes
    experts = sum(tensor.nbytes for name, tensor in tensors if _EXPERT.search(name))
    once = sum(tensor.nbytes for name, tensor in tensors if not _EMBEDDING.match(name))
    return StepReads(
        dense=once - experts,
        experts=experts,
        token_cache=config.full_layers * pair,
        window_cache=config.window_layers * pair,
        config=config,
    )


def prefill_operations(config: ModelConfig, tokens: int) -> float:
    """Floating point operations for each of a prompt's ``tokens``: two for a weight that meets it.

    Without the head, which only the last token meets; with what it attends to, on average.
    """
    heads = config.num_attention_heads * config.head_dim
    keys = config.num_key_value_heads * config.head_dim
    attention = config.hidden_size * (2 * heads + 2 * keys)
    experts = 3 * config.num_experts_per_tok * config.hidden_size * config.intermediate_size
    router = config.hidden_size * config.num_local_experts
    weights = config.num_hidden_layers * (attention + experts + router)
    seen = config.full_layers * tokens / 2
    seen += config.window_layers * min(tokens / 2, config.sliding_window)
    return 2 * weights + 4 * heads * seen
