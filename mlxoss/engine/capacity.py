"""How long a sequence the memory holds beside a model: by arithmetic, without MLX.

The same sums tell it before loading, from a checkpoint's headers, and afterwards, from what the
model really takes: what clients are told while it loads must not be taken back then.
"""

from __future__ import annotations

import sys
from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from mlxoss.engine.checkpoint.config import ModelConfig
from mlxoss.engine.command_buffers import are_large
from mlxoss.errors import ModelError
from mlxoss.system.memory import machine_bytes, read_sysctl

_GROWTH_TOKENS = 256
"""mlx-lm's caches grow by so many places at a time."""

SOON_TOKENS = 512
"""By how much more than it holds a sequence is counted when one is admitted beside others: so far
they all get before one has to pause, which is worth what a pause costs."""


@dataclass(frozen=True, slots=True)
class SequenceBytes:
    """What one sequence keeps: ``token`` in all of its tokens together, for each of them, and
    ``window`` whatever its length. ``grow`` of the ``token`` bytes are there twice while a layer's
    cache grows or is put together."""

    token: int
    window: int
    grow: int


@dataclass(frozen=True, slots=True)
class Room:
    """What ``free_bytes`` beside the weights hold. Pure arithmetic.

    ``step_bytes`` is what a step takes for a while, its prefill chunk included. When a sequence is
    admitted each one counts as ``soon_tokens`` longer than it is, if it may become so long.
    """

    free_bytes: int
    step_bytes: int
    sizes: SequenceBytes
    soon_tokens: int = SOON_TOKENS

    def need_bytes(self, lengths: Collection[int]) -> int:
        """What sequences of ``lengths`` tokens, prompt and answer, take in one batch."""
        if not lengths:
            return 0
        places = (max(lengths) // _GROWTH_TOKENS + 2) * _GROWTH_TOKENS
        each = places * (self.sizes.token + self.sizes.grow) + self.sizes.window
        return self.step_bytes + len(lengths) * each

    def holds(self, lengths: Collection[int]) -> bool:
        """Whether they fit."""
        return self.need_bytes(lengths) <= self.free_bytes

    @property
    def most_tokens(self) -> int:
        """The longest sequence that fits by itself; 0 if none does."""
        left = self.free_bytes - self.step_bytes - self.sizes.window
        places = max(0, left) // max(1, self.sizes.token + self.sizes.grow)
        return max(0, (places // _GROWTH_TOKENS - 1) * _GROWTH_TOKENS - 1)


PREFILL_TOKENS = 2048
"""The longest chunk of a prefill, all prompts together."""

HOST_SHARE = 0.75
"""Of the machine's memory, without Metal."""

_METAL_SHARE = 0.75
_SMALL_METAL_SHARE = 2 / 3
_SMALL_BYTES = 64 << 30
_SPARE_SHARE = 0.25

# What a step holds at a time of each kind, generously counted.
_HIDDEN_COPIES = 8
_HEAD_COPIES = 4
_EXPERT_COPIES = 4
_MASKS = 4
_SCORES = 3
_LOGITS = 8

# Metal's attention, where it does keep scores, and of how many layers at a time: MLX encodes ahead.
_FEW_QUERIES = 32
_MANY_TOKENS = 8
_UNFUSED_PAIRS = 1 << 17
_LAYERS_AHEAD = 5

# With large command buffers what a layer computed is free only when its buffer is done: of a long
# chunk four layers are under way by then (``mlx/forward.py``). Each leaves as many values as are
# counted for a layer, in half the bytes: Metal computes in 16 bits. For the 20b 1.4 GB.
_LAYERS_LEFT = 4
_HALF_BYTES = 2

# What is there beside the weights' own bytes once they are loaded.
_OVERHEAD_SHARE = 0.001
_OVERHEAD_BYTES = 16 << 20


class Sizes(Protocol):
    """What a step's memory depends on, by the names of ``config.json``."""

    @property
    def hidden_size(self) -> int:
        """Width of the residual stream."""

    @property
    def intermediate_size(self) -> int:
        """Inner width of an expert."""

    @property
    def num_attention_heads(self) -> int:
        """Heads of queries."""

    @property
    def num_key_value_heads(self) -> int:
        """Heads of keys and values, which as many heads of queries share evenly."""

    @property
    def head_dim(self) -> int:
        """Width of a head."""

    @property
    def num_experts_per_tok(self) -> int:
        """Experts that compute each token."""

    @property
    def vocab_size(self) -> int:
        """Rows of the head."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a checkpoint takes once loaded: ``weights_bytes``, and ``value_bytes`` for each number
    that it computes with."""

    config: ModelConfig
    weights_bytes: int
    value_bytes: int


def device_bytes() -> int:
    """What the device can hold at a time, or somewhat less, without asking MLX.

    Metal's recommended working set follows ``iogpu.wired_limit_mb`` where that is set; else it is
    two thirds of the memory on small Macs, three quarters or more on others.
    """
    total = machine_bytes()
    if sys.platform != "darwin":
        return int(HOST_SHARE * total)
    if wired_mb := read_sysctl("iogpu.wired_limit_mb"):
        return wired_mb << 20
    return int((_SMALL_METAL_SHARE if total < _SMALL_BYTES else _METAL_SHARE) * total)


def spare_bytes(total_bytes: int, active_bytes: int) -> int:
    """The prefix cache's part where no setting says otherwise: of what the weights leave."""
    return int(_SPARE_SHARE * max(0, total_bytes - active_bytes))


def expect_room(
    footprint: Footprint,
    total_bytes: int,
    prefix_bytes: int | None,
    max_batch: int,
    *,
    has_metal: bool,
    at_best: bool = False,
) -> Room:
    """What ``total_bytes`` will leave for sequences once the model is loaded, or somewhat less.

    ``prefix_bytes`` is the prefix cache's part, ``None`` for the usual one. ``at_best`` is the most
    that can be left: a model that fits barely is not refused unloaded.
    """
    active = footprint.weights_bytes
    if not at_best:
        active += int(footprint.weights_bytes * _OVERHEAD_SHARE) + _OVERHEAD_BYTES
    spare = spare_bytes(total_bytes, active) if prefix_bytes is None else prefix_bytes
    config = footprint.config
    pair = 2 * config.num_key_value_heads * config.head_dim * footprint.value_bytes
    window_token = config.window_layers * pair
    sequence = SequenceBytes(
        token=config.full_layers * pair,
        window=window_token * config.sliding_window,
        grow=2 * pair,
    )
    step = step_bytes(config, max_batch, window_token, has_metal=has_metal)
    return Room(total_bytes - spare - active, step, sequence)


def check_room(room: Room) -> None:
    """Raise ``ModelError`` where not even a short sequence fits."""
    if room.most_tokens < 1:
        raise ModelError(
            f"The model leaves {gigabytes(max(0, room.free_bytes))} of memory for answers, and "
            f"{gigabytes(room.need_bytes([1]))} are the least: raise memory_limit "
            "(--memory-limit), or lower prefix_cache_bytes."
        )


def step_bytes(sizes: Sizes, max_batch: int, window_token: int, *, has_metal: bool) -> int:
    """What one step takes for a while: activations, windows, masks, scores and logits.

    ``window_token`` is what all sliding windows together keep of one token. How large MLX's command
    buffers are is taken from the environment, as MLX takes it.
    """
    heads = sizes.num_attention_heads
    per_token = _HIDDEN_COPIES * sizes.hidden_size + _HEAD_COPIES * heads * sizes.head_dim
    per_token += _EXPERT_COPIES * sizes.num_experts_per_tok * sizes.intermediate_size
    scores = 0 if has_metal else _SCORES * heads * 4
    logits = _LOGITS * max_batch * sizes.vocab_size * 4
    chunk = PREFILL_TOKENS * (4 * per_token + window_token)
    if has_metal and are_large():
        chunk = PREFILL_TOKENS * (_LAYERS_LEFT * _HALF_BYTES * per_token + window_token)
    if has_metal:
        chunk = max(chunk, _LAYERS_AHEAD * _UNFUSED_PAIRS * _SCORES * heads * 4)
    return chunk + most_pairs(has_metal=has_metal) * (_MASKS + scores) + logits


def most_pairs(*, has_metal: bool) -> int:
    """How many pairs of a token and one that it attends to a prefill chunk may make.

    Metal's attention keeps a mask of them, the CPU's every head's scores.
    """
    return 1 << 25 if has_metal else 1 << 22


def tokens_at_once(wanted: int, rows: int, length: int, sizes: Sizes) -> int:
    """How many tokens per row one forward pass takes on Metal, of 1 to ``wanted``.

    Its attention keeps no scores but for a few tokens at once: its kernel for few takes 32 queries
    of the heads that share a key, and the one for many more than 8 tokens (MLX 0.32,
    ``scaled_dot_product_attention.cpp``). Between these there are scores of all ``rows`` with as
    many keys as the batch is long, which may become gigabytes.
    """
    sharing = sizes.num_attention_heads // sizes.num_key_value_heads
    keeps_none = wanted > _MANY_TOKENS or wanted * sharing <= _FEW_QUERIES
    if keeps_none or rows * wanted * length <= _UNFUSED_PAIRS:
        return wanted
    return max(1, _FEW_QUERIES // sharing)


def gigabytes(size_bytes: int) -> str:
    """For people, in decimal units."""
    return f"{size_bytes / 1e9:.2f} GB"
