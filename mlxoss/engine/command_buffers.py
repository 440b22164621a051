"""How much work MLX puts into one of Metal's command buffers. Knows no MLX: it is told before.

MLX closes a command buffer after so many operations, or once the arrays that it touches have so
many elements, which its variable calls megabytes (``mlx/backend/metal/device.cpp``, 0.32). Each
multiplication by experts counts all of them, so by MLX's defaults a token takes 39 to 51 buffers
with the 20b and 111 with the 120b. Each costs about 20 us of the GPU (mlx issue 4521), and with
more than 10 under way the host waits for the GPU before it has queued the step. By its own count,
the 20b's token takes 9 with ``_LARGE``, and so does the 120b's with ``_HUGE``.

What a buffer touches is freed only once it is done. Decoding leaves next to nothing behind; a long
prompt does, so its layers are waited for two by two (``mlx/forward.py``).
"""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass

OPERATIONS = "MLX_MAX_OPS_PER_BUFFER"
ELEMENTS = "MLX_MAX_MB_PER_BUFFER"

_GB = 10**9
_LARGE_MODEL_BYTES = 30 * _GB
"""Between the 20b's 12 GB and the 120b's 65."""

_LARGE_MACHINE_BYTES = 96 << 30


@dataclass(frozen=True, slots=True)
class CommandBuffers:
    """``operations``, and ``elements`` in units of 2**20."""

    operations: int
    elements: int


_LARGE = CommandBuffers(1000, 400)
_HUGE = CommandBuffers(1000, 2000)


def choose(weights_bytes: int, memory_bytes: int | None) -> CommandBuffers | None:
    """What fits a model of ``weights_bytes`` on a machine of ``memory_bytes`` (``None``: unknown);
    ``None`` leaves it to MLX."""
    if weights_bytes <= _LARGE_MODEL_BYTES:
        return _LARGE
    if memory_bytes is not None and memory_bytes >= _LARGE_MACHINE_BYTES:
        return _HUGE
    return None


def parse(text: str) -> CommandBuffers | None:
    """``OPERATIONS/ELEMENTS``, or ``mlx`` for ``None``. Raises ``ValueError``."""
    if text == "mlx":
        return None
    operations, slash, elements = text.partition("/")
    try:
        found = CommandBuffers(int(operations), int(elements))
    except ValueError:
        found = CommandBuffers(0, 0)
    if not slash or min(found.operations, found.elements) < 1:
        raise ValueError("must be auto, mlx, or two whole numbers such as 1000/400")
    return found


def announce(buffers: CommandBuffers | None, env: MutableMapping[str, str]) -> None:
    """Tell MLX, which looks once, at its first use of the GPU. What the user set stays."""
    if buffers is None:
        return
    env.setdefault(OPERATIONS, str(buffers.operations))
    env.setdefault(ELEMENTS, str(buffers.elements))
