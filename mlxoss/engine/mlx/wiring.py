"""Has MLX wire the weights and no more, and undoes it. The engine's thread, between two steps.

mlx-lm's generators wire whatever MLX will ever allocate: caches, snapshots, memory kept for reuse.
That has panicked the kernels of Macs: under two streams whose prompt caches come and go within
minutes, without wiring never. Here it never runs (``mlx_lm_without_wiring``).

How MLX wires (0.32, ``mlx/backend/metal/resident.cpp``): it takes allocations into residency sets
while their sum stays within a limit, those that are there when the limit is raised and then each
new one. One that does not fit is left out as a whole. With the limit at what the weights take,
nothing that comes later fits, so the sets do not change until the model goes or is let go.

To let go is to set the limit to 0: all sets are emptied, and the thread that asks for them once a
second (``renew_wired``) passes over empty ones. To wire again is to set it once more. Both walk
over all allocations and commit each set once; mapping the memory is what the first use would cost
without. But MLX goes through its allocations in no order, so snapshots that are there by then
would take the place of weights, and change the sets when they go: they have to leave before.
"""

from __future__ import annotations

import logging
import mmap
from collections.abc import Iterator
from contextlib import contextmanager

import mlx.core as mx
from mlx.utils import tree_flatten

from mlxoss.engine.mlx.device import recommended_bytes
from mlxoss.engine.mlx.lm import generators
from mlxoss.engine.mlx.model import Network
from mlxoss.engine.wiring import Wiring, let_go_bytes, note_let_go, note_wired, wired_bytes

logger = logging.getLogger(__name__)

_limit = 0
"""What MLX was told, for the time when it is told again."""

_HEAP_BYTES = 1 << 20
"""MLX's heap for its smallest buffers, an allocation from the start."""


def wire_weights(network: Network, wiring: Wiring) -> None:
    """Wire what MLX holds now, the weights of ``network``, if they are to be; the log tells.

    Call when nothing else was allocated, and nothing is being computed.
    """
    recommended = recommended_bytes()
    if recommended is None:
        note_wired(None)
        logger.info("the weights are not wired: only Metal wires memory")
        return
    if not wiring.wired:
        note_wired(0)
        logger.info("the weights are not wired: %s", wiring.why)
        return
    mx.synchronize()
    mx.clear_cache()  # else memory kept for reuse takes the place of weights
    active = mx.get_active_memory()
    global _limit
    _limit = min(active + _rounding_bytes(network), recommended)
    mx.set_wired_limit(_limit)
    wired = min(active, recommended)
    note_wired(wired)
    logger.info("%.2f GB of weights are wired: %s", wired / 1e9, wiring.why)


def _rounding_bytes(network: Network) -> int:
    """By how much the allocations may exceed what MLX counts of them: each is of whole pages.

    Without it the last ones that are taken in, of any size, would be left out.
    """
    return _HEAP_BYTES + mmap.PAGESIZE * len(tree_flatten(network.parameters()))


def let_go() -> None:
    """Unwire what is wired, until ``wire_again``. Nothing but weights may be there by then."""
    if wired_bytes():
        mx.synchronize()
        mx.set_wired_limit(0)
        note_let_go()
        logger.info("the weights are no longer wired: nothing came for long")


def wire_again() -> None:
    """Wire what was let go, if it was: before anything else is allocated."""
    if size_bytes := let_go_bytes():
        mx.clear_cache()
        mx.set_wired_limit(_limit)
        note_wired(size_bytes)
        logger.info("%.2f GB of weights are wired again", size_bytes / 1e9)


def unwire() -> None:
    """Undo it; call before the weights go, so that no set changes as they do."""
    if wired_bytes():
        mx.set_wired_limit(0)
    note_wired(None)


@contextmanager
def mlx_lm_without_wiring() -> Iterator[None]:
    """Keep mlx-lm from wiring anything in the block, where its generators are made.

    Their constructor calls a function of its module for it (mlx-lm 0.32.2, ``generate.py``), and no
    argument says otherwise. Undoing it afterwards would have wired everything for a moment, at each
    load and each lost batch.
    """
    theirs = generators.maybe_set_recommended_wired_limit
    generators.maybe_set_recommended_wired_limit = lambda: None
    try:
        yield
    finally:
        generators.maybe_set_recommended_wired_limit = theirs
