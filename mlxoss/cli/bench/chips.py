"""What Apple says that its chips can read, and which of them this is."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from mlxoss.errors import ServiceError
from mlxoss.service.subprocess import RunCommand, run_command
from mlxoss.system.chip import chip_name

_IOREG = "/usr/sbin/ioreg"
_CORES = re.compile(r'"gpu-core-count" = (\d+)')

# GB/s of unified memory, by the technical specifications of the Macs that have the chip
# (support.apple.com, "Tech Specs"). Where one name has two, the GPU's cores tell which: so many
# and more have the last one.
_SPECIFIED: Mapping[str, tuple[tuple[int, float], ...]] = {
    "M1": ((0, 68.25),),
    "M1 Pro": ((0, 200),),
    "M1 Max": ((0, 400),),
    "M1 Ultra": ((0, 800),),
    "M2": ((0, 100),),
    "M2 Pro": ((0, 200),),
    "M2 Max": ((0, 400),),
    "M2 Ultra": ((0, 800),),
    "M3": ((0, 100),),
    "M3 Pro": ((0, 150),),
    "M3 Max": ((0, 300), (40, 400)),
    "M3 Ultra": ((0, 819),),
    "M4": ((0, 120),),
    "M4 Pro": ((0, 273),),
    "M4 Max": ((0, 410), (40, 546)),
    "M5": ((0, 153),),
    "M5 Pro": ((0, 307),),
    "M5 Max": ((0, 460), (40, 614)),
}


@dataclass(frozen=True, slots=True)
class Chip:
    """``gpu_cores`` and ``specified``, bytes per second, are ``None`` where they are not known."""

    name: str
    gpu_cores: int | None = None
    specified: float | None = None

    def to_text(self) -> str:
        """For people."""
        cores = "" if self.gpu_cores is None else f", {self.gpu_cores} GPU cores"
        return self.name + cores


def read_chip(name: str | None = None, run: RunCommand = run_command) -> Chip:
    """This machine's chip, which ``name`` stands in for."""
    name = chip_name() if name is None else name
    if not name.startswith("Apple "):
        return Chip(name)
    cores = _read_gpu_cores(run)
    return Chip(name, cores, specified_rate(name, cores))


def specified_rate(name: str, gpu_cores: int | None) -> float | None:
    """Bytes per second; ``None`` for a chip that is not in the table, or not told apart."""
    known = _SPECIFIED.get(name.removeprefix("Apple "), ())
    if not known or (len(known) > 1 and gpu_cores is None):
        return None
    return max(rate for least, rate in known if least <= (gpu_cores or 0)) * 1e9


def _read_gpu_cores(run: RunCommand) -> int | None:
    """By the accelerator's entry in the I/O registry."""
    if sys.platform != "darwin" and run is run_command:
        return None
    try:
        found = _CORES.search(run([_IOREG, "-rc", "AGXAccelerator", "-d", "1"], timeout_s=5.0).out)
    except ServiceError:
        return None
    return int(found[1]) if found else None
