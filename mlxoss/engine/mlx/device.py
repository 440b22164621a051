"""What MLX says of the device that it computes on.

Run as a program it prints that, for commands: they import no MLX, and one that crashes at a GPU
which is not there must not take them along.
"""

from __future__ import annotations

import json
import sys

import mlx.core as mx

from mlxoss.engine.capacity import device_bytes
from mlxoss.errors import ModelError


def computes_on_metal() -> bool:
    """Whether the default device is Metal's: a Mac may be told to compute on its CPU.

    ``mx.metal.is_available`` says no more than that MLX was built for it.
    """
    return mx.metal.is_available() and mx.default_device() == mx.Device(mx.gpu)


def has_device() -> bool:
    """Whether the default device is there.

    MLX for macOS takes the GPU for available wherever it was built for one
    (``mx.metal.is_available`` is a constant); only counting the devices opens it.
    """
    return mx.default_device() != mx.Device(mx.gpu) or mx.device_count(mx.gpu) > 0


def check_device() -> None:
    """Raise ``ModelError`` where there is nothing to compute on."""
    if not has_device():
        raise ModelError(
            "There is no Metal device: a virtual machine without a GPU cannot run a model. On a "
            "Mac itself: mlxoss doctor"
        )


def recommended_bytes() -> int | None:
    """Metal's recommended working set, as it was when this process first asked; else ``None``."""
    found = mx.device_info().get("max_recommended_working_set_size")
    return None if found is None else int(found)


def budget_bytes() -> int:
    """What the device can hold at a time.

    Metal's recommended working set; without Metal three quarters of the machine's memory.
    """
    recommended = recommended_bytes()
    return device_bytes() if recommended is None else recommended


_SPARK_SIDE = 256


def spark() -> None:
    """Have the device compute a small product, and wait for it: a fraction of a millisecond.

    A GPU that has nothing to do slows down, and the next token waits. Nothing of it stays in
    memory: what is there when weights are wired again would be wired in their place.
    """
    factor = mx.ones((_SPARK_SIDE, _SPARK_SIDE), mx.float16)
    mx.eval(factor @ factor)


def main() -> None:
    """Print it as one line of JSON."""
    there = has_device()
    answer = {"has_device": there, "limit_bytes": recommended_bytes() if there else None}
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
