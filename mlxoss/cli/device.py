"""What MLX says of this machine's device, to commands, which do not import it."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass

from mlxoss.errors import ServiceError
from mlxoss.service.subprocess import RunCommand, run_command

_LIMIT_S = 60.0
_PROGRAM = "mlxoss.engine.mlx.device"


@dataclass(frozen=True, slots=True)
class Device:
    """Whether there is one, and what it can hold at a time in bytes, ``None`` without Metal.

    ``problem`` says why neither is known, where MLX could not be asked.
    """

    has_device: bool
    limit_bytes: int | None
    problem: str | None = None


def ask_device(run: RunCommand = run_command) -> Device:
    """Ask MLX in a process of its own: a fifth of a second. Never raises."""
    try:
        done = run([sys.executable, "-P", "-m", _PROGRAM], timeout_s=_LIMIT_S)
    except ServiceError as error:
        return Device(False, None, str(error))
    try:
        if done.code == 0:
            found = json.loads(done.out)
            return Device(bool(found["has_device"]), found["limit_bytes"])
    except (ValueError, KeyError, TypeError):
        pass
    return Device(False, None, f"MLX does not run here: {_last_line(done.err or done.out)}")


def _last_line(text: str) -> str:
    return next(iter(reversed(text.strip().splitlines())), "it said nothing")
