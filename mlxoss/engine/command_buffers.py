"""How much work MLX puts into one of Metal's command buffers. Knows no MLX: it is told before.

MLX closes a command buffer after so many operations, or once the arrays that it touches have so
many elements, which its variable calls megabytes (``mlx/backend/metal/device.cpp``, 0.32). Each
multiplication by experts counts all of them, so by MLX's defaults a token takes 39 to 51 buffers
with the 20b and 111 with the 120b. Each costs about 20 us of the GPU (mlx issue 4521), and with
more than 10 under way the host waits for the GPU before it has queued the step. By its own count,
the 20b's token takes 9 with ``_LARGE``, and so does the 120b's with ``_HUGE``.

What a buffer touches is freed only once it is done. Decoding leaves next to nothing behind; a long
prompt does, so its layers are waited for two by two (``mlx/forward.py``), and admission counts what
they leave (``capacity.py``).
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass

from mlxoss.system.memory import machine_bytes

logger = logging.getLogger(__name__)

OPERATIONS = "MLX_MAX_OPS_PER_BUFFER"
ELEMENTS = "MLX_MAX_MB_PER_BUFFER"

_GB = 10**9
_LARGE_MODEL_BYTES = 30 * _GB
"""Between the 20b's 12 GB and the 120b's 65."""

_LARGE_MACHINE_BYTES = 96 << 30

_SMALL_MACHINE_BYTES = 16 << 30
"""Of what such a machine has beside the 20b, large buffers would take a third or more."""

_USUAL_ELEMENTS = 50
"""The most that MLX has by itself."""


@dataclass(frozen=True, slots=True)
class CommandBuffers:
    """``operations``, and ``elements`` in units of 2**20."""

    operations: int
    elements: int


_LARGE = CommandBuffers(1000, 400)
_HUGE = CommandBuffers(1000, 2000)


def choose(setting: str, weights_bytes: int, memory_bytes: int) -> CommandBuffers | None:
    """What the setting ``command_buffers`` comes to for weights of ``weights_bytes`` in a process,
    on a machine of ``memory_bytes``; ``None`` leaves it to MLX."""
    if setting == "mlx":
        return None
    if setting != "auto":
        operations, _, elements = setting.partition("/")
        return CommandBuffers(int(operations), int(elements))
    if memory_bytes <= _SMALL_MACHINE_BYTES:
        return None
    if weights_bytes <= _LARGE_MODEL_BYTES:
        return _LARGE
    return _HUGE if memory_bytes >= _LARGE_MACHINE_BYTES else None


def announce_here(setting: str, weights_bytes: int) -> None:
    """Tell MLX of this process what the setting comes to on this machine.

    Call before MLX is imported. Where there is no Metal there are no command buffers, and a setting
    that asks for some is without effect: the log says so.
    """
    if sys.platform == "darwin":
        announce(choose(setting, weights_bytes, machine_bytes()), os.environ)
    elif setting not in ("auto", "mlx"):
        logger.info("command_buffers is without effect: only Metal has them")


def are_large(env: Mapping[str, str] = os.environ) -> bool:
    """Whether MLX was told of buffers larger than its own, by us or by the user."""
    told = env.get(ELEMENTS, "")
    return told.isdecimal() and int(told) > _USUAL_ELEMENTS


def announce(buffers: CommandBuffers | None, env: MutableMapping[str, str]) -> None:
    """Tell MLX, which looks once, at its first use of the GPU. What the user set stays."""
    if buffers is None:
        return
    env.setdefault(OPERATIONS, str(buffers.operations))
    env.setdefault(ELEMENTS, str(buffers.elements))
