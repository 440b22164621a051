"""Forming MLX's group: the variables that ``mlx.launch`` sets, without ``mlx.launch``.

mlx 0.32's launcher turns around without pause as long as what it started runs (two thirds of a
core), cannot end what is stopped, and leaves what it started behind when it is killed.
"""

from __future__ import annotations

import faulthandler
import json
import os
import socket
import tempfile
from collections.abc import Sequence
from typing import Any

from mlxoss.errors import ModelError

VERSIONED = ("mlxoss", "mlx", "mlx-lm")
"""What must be the same on all ranks."""

_STDERR = 2


def read_versions() -> dict[str, str]:
    """The versions of what must be the same on all ranks."""
    from importlib.metadata import version

    return {name: version(name) for name in VERSIONED}


def check_backend(backend: str) -> None:
    """Raise ``ModelError`` where MLX on this machine cannot connect ranks by ``backend``."""
    import mlx.core as mx

    if not mx.distributed.is_available(backend):
        raise ModelError(
            f"MLX has no {backend} on this machine: JACCL needs RDMA over Thunderbolt, which macOS "
            "26.2 brought; the backend ring works everywhere."
        )


def free_addresses(ips: Sequence[str]) -> tuple[str, ...]:
    """An address on each of this machine's ``ips`` that nobody listens on.

    Raises ``OSError`` where one is not this machine's.
    """
    return tuple(_free_address(ip) for ip in ips)


def _free_address(ip: str) -> str:
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((ip, 0))
        except OSError as error:
            raise OSError(f"{ip} is no address of this machine ({error.strerror})") from error
        return f"{ip}:{probe.getsockname()[1]}"


def join(
    backend: str,
    rank: int,
    addresses: Sequence[Sequence[str]],
    rdma: Sequence[Sequence[Sequence[str]]],
    timeout_s: float,
) -> Any:
    """MLX's group, with this process as ``rank``. Waits for the others; ``RuntimeError`` if not.

    ``addresses`` are each rank's in order. Once per process, which ends with 1 after ``timeout_s``:
    MLX keeps the interpreter's lock while it waits, so no thread here could see who is gone.
    """
    import mlx.core as mx

    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        is_ring = backend == "ring"
        json.dump(addresses if is_ring else [_devices(each) for each in rdma], file)
        file.flush()
        os.environ["MLX_RANK"] = str(rank)
        if is_ring:
            os.environ["MLX_HOSTFILE"] = file.name
        else:
            os.environ["MLX_IBV_DEVICES"] = file.name
            os.environ["MLX_JACCL_COORDINATOR"] = addresses[0][0]
        faulthandler.dump_traceback_later(timeout_s, exit=True, file=_STDERR)
        try:
            return mx.distributed.init(strict=True, backend=backend)
        finally:
            faulthandler.cancel_dump_traceback_later()


def _devices(rdma: Sequence[Sequence[str]]) -> list[object]:
    """One rank's row of ``MLX_IBV_DEVICES``: no, one or several devices to each other one."""
    return [None if not each else each[0] if len(each) == 1 else list(each) for each in rdma]
