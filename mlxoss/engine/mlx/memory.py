"""How much memory MLX may use, and for what."""

from __future__ import annotations

import ctypes
import gc
import sys
from dataclasses import dataclass

import mlx.core as mx

from mlxoss.engine.capacity import (
    Footprint,
    Room,
    SequenceBytes,
    check_room,
    expect_room,
    gigabytes,
    spare_bytes,
    step_bytes,
)
from mlxoss.engine.mlx.device import computes_on_metal
from mlxoss.engine.mlx.lm import RotatingKVCache
from mlxoss.engine.mlx.model import LanguageModel
from mlxoss.errors import ModelError

_REUSE_SHARE = 0.125
_MOST_REUSE_BYTES = 1 << 30


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
                f"The model takes {gigabytes(weights_bytes)} of memory, and "
                f"{gigabytes(self.total_bytes)} are there for it: take a smaller one, or raise "
                "memory_limit (--memory-limit), on a Mac beside "
                "'sudo sysctl iogpu.wired_limit_mb=N'."
            )

    def spare_bytes(self) -> int:
        """The prefix cache's part, once the model is loaded."""
        if self.prefix_bytes is not None:
            return self.prefix_bytes
        return spare_bytes(self.total_bytes, mx.get_active_memory())

    def check_footprint(self, footprint: Footprint, max_batch: int) -> None:
        """Raise ``ModelError``, before anything is loaded, for a model that can leave no room."""
        self.check_weights(footprint.weights_bytes)
        room = expect_room(
            footprint,
            self.total_bytes,
            self.prefix_bytes,
            max_batch,
            has_metal=computes_on_metal(),
            at_best=True,
        )
        check_room(room)


def limit_reuse(total_bytes: int) -> None:
    """Bound what MLX keeps of freed memory for reuse, for the whole process.

    By default it may keep as much as the device can hold, which other programs would miss. Its
    memory limit stays what it is: nothing is refused above it, but MLX then waits for the device
    after every operation (0.32, ``transforms.cpp``). That ``total_bytes`` hold is admission's
    affair.
    """
    mx.set_cache_limit(min(_MOST_REUSE_BYTES, int(_REUSE_SHARE * total_bytes)))


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


def make_room(model: LanguageModel, total_bytes: int, max_batch: int) -> Room:
    """What ``total_bytes`` leave for sequences beside ``model``. Runs it for one token.

    Raises ``ModelError`` where not even a short sequence fits, and for output that is no number.
    """
    caches = model.make_cache()
    logits = model(mx.array([[0]]), cache=caches)
    if not mx.all(mx.isfinite(logits)).item():
        raise ModelError(
            "The model's output is not a number, although its weights are numbers: it is damaged, "
            "or was converted badly. Pull it anew, or take another; then `mlxoss restart`."
        )
    token = window = window_token = largest = 0
    for cache in caches:
        pair = sum(part.nbytes // part.shape[2] for part in (cache.keys, cache.values))
        if isinstance(cache, RotatingKVCache):
            window_token += pair
            window += cache.max_size * pair
        else:
            token += pair
            largest = max(largest, pair)
    has_metal = computes_on_metal()
    step = step_bytes(model.args, max_batch, window_token, has_metal=has_metal)
    free = total_bytes - mx.get_active_memory()
    room = Room(free, step, SequenceBytes(token, window, 2 * largest))
    check_room(room)
    return room
