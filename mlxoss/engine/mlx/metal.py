"""Whether MLX computes on Metal in this process."""

from __future__ import annotations

import mlx.core as mx


def computes_on_metal() -> bool:
    """Whether the default device is Metal's: a Mac may be told to compute on its CPU.

    ``mx.metal.is_available`` says no more than that MLX was built for it.
    """
    return mx.metal.is_available() and mx.default_device() == mx.Device(mx.gpu)
