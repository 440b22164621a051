"""What the process holds in memory, told without waiting for the engine."""

from __future__ import annotations

import os

from mlxoss.engine.counters import read_mlx_memory
from mlxoss.system.memory import held_bytes


def read_memory(*, model_is_loaded: bool) -> dict[str, int]:
    """Sizes in bytes for the ``memory`` object of ``/health``. Any thread, microseconds.

    ``process_bytes`` is as ``held_bytes`` says; left out where the system does not tell. With the
    model loaded there are also MLX's own figures, as ``read_mlx_memory`` says.
    """
    found = read_mlx_memory() if model_is_loaded else {}
    held = held_bytes(os.getpid())
    return found if held is None else {"process_bytes": held, **found}
