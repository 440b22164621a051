"""How much memory MLX may use, and for what."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
from mlx_lm.models.cache import RotatingKVCache

from mlxoss.engine.admission import Room, SequenceBytes
from mlxoss.engine.model import LanguageModel
from mlxoss.errors import ModelError

PREFILL_TOKENS = 2048
"""The longest chunk of a prefill, all prompts together."""

_HOST_SHARE = 0.75
_SPARE_SHARE = 0.25
_REUSE_SHARE = 0.125
_MOST_REUSE_BYTES = 1 << 30
_WIRED_SHARE = 0.6

# What a step holds at a time of each kind, generously counted.
_HIDDEN_COPIES = 8
_HEAD_COPIES = 4
_EXPERT_COPIES = 4
_MASKS = 4
_SCORES = 3
_LOGITS = 8


@dataclass(frozen=True, slots=True)
class Budget:
    """What the model and everything beside it may take: ``total_bytes``.

    ``prefix_bytes`` is the prefix cache's part, ``None`` for a quarter of what the weights leave.
    """

    total_bytes: int
    prefix_bytes: int | None = None

    def check_weights(self, weights_bytes: int) -> None:
        """Raise ``ModelError`` for a model that is larger than everything may be."""
        if weights_bytes >= self.total_bytes:
            raise ModelError(
                f"The model takes {_gb(weights_bytes)} of memory, and {_gb(self.total_bytes)} are "
                "there for it: take a smaller one, or raise memory_limit (--memory-limit), on a "
                "Mac beside 'sudo sysctl iogpu.wired_limit_mb=N'."
            )

    def spare_bytes(self) -> int:
        """The prefix cache's part, once the model is loaded."""
        if self.prefix_bytes is not None:
            return self.prefix_bytes
        return int(_SPARE_SHARE * max(0, self.total_bytes - mx.get_active_memory()))


def budget_bytes() -> int:
    """What the device can hold at a time.

    Metal's recommended working set; without Metal three quarters of the machine's memory.
    """
    recommended = mx.device_info().get("max_recommended_working_set_size")
    if recommended is not None:
        return int(recommended)
    return int(_HOST_SHARE * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def limit_reuse() -> None:
    """Bound what MLX keeps of freed memory for reuse, for the whole process.

    By default it may keep as much as the device can hold, which other programs would miss.
    """
    mx.set_cache_limit(min(_MOST_REUSE_BYTES, int(_REUSE_SHARE * budget_bytes())))


def give_back() -> None:
    """Return to the system what MLX has freed. Collects garbage first: a model's modules and their
    arrays refer to each other.

    The C library of Linux keeps what was freed in pieces below 32 MB for reuse unless told
    (``malloc_trim(3)``); a Mac's GPU memory does not go through it.
    """
    gc.collect()
    mx.clear_cache()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)


def wants_wiring() -> bool:
    """Whether the weights, once loaded, are so large a share that the system might page them out.

    Wiring little memory gains nothing and has brought machines down (mlx issue 3186).
    """
    return mx.get_active_memory() > _WIRED_SHARE * budget_bytes()


def most_pairs() -> int:
    """How many pairs of a token and one that it attends to a prefill chunk may make.

    Metal's attention keeps a mask of them, the CPU's every head's scores.
    """
    return 1 << 25 if mx.metal.is_available() else 1 << 22


def make_room(model: LanguageModel, total_bytes: int, max_batch: int) -> Room:
    """What ``total_bytes`` leave for sequences beside ``model``. Runs it for one token.

    Raises ``ModelError`` where not even a short sequence fits.
    """
    caches = model.make_cache()
    mx.eval(model(mx.array([[0]]), cache=caches))
    token = window = window_token = largest = 0
    for cache in caches:
        pair = sum(part.nbytes // part.shape[2] for part in (cache.keys, cache.values))
        if isinstance(cache, RotatingKVCache):
            window_token += pair
            window += cache.max_size * pair
        else:
            token += pair
            largest = max(largest, pair)
    step = _step_bytes(model.args, max_batch, window_token)
    free = total_bytes - mx.get_active_memory()
    room = Room(free, step, SequenceBytes(token, window, 2 * largest))
    if room.most_tokens < 1:
        raise ModelError(
            f"The model leaves {_gb(max(0, free))} of memory for answers, and "
            f"{_gb(room.need_bytes([1]))} are the least: raise memory_limit (--memory-limit), or "
            "lower prefix_cache_bytes."
        )
    return room


def _step_bytes(args: Any, max_batch: int, window_token: int) -> int:
    """What one step takes for a while: activations, windows, masks, scores and logits."""
    heads: int = args.num_attention_heads
    per_token: int = _HIDDEN_COPIES * args.hidden_size + _HEAD_COPIES * heads * args.head_dim
    per_token += _EXPERT_COPIES * args.num_experts_per_tok * args.intermediate_size
    scores = 0 if mx.metal.is_available() else _SCORES * heads * 4
    logits: int = _LOGITS * max_batch * args.vocab_size * 4
    chunk = PREFILL_TOKENS * (4 * per_token + window_token)
    return chunk + most_pairs() * (_MASKS + scores) + logits


def _gb(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:.2f} GB"
