"""What a cell, and the process that runs it, may use."""

from __future__ import annotations

import sys
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds; sizes in bytes, times in seconds. The kernel holds some, the watchdog all others."""

    cell_s: float = 120.0
    """The longest that a cell may run; what the model is told (``harmony/builtins.py``)."""
    cpu_s: float = 240.0
    """Processor time of one cell, over all its threads."""
    life_cpu_s: int = 3600
    """Processor time of a process in all: the kernel's, which holds without a daemon too."""
    start_s: float = 60.0
    memory: int = 2 << 30
    """Memory that is in use."""
    addresses: int = 3 << 30
    """Memory that is reserved (Linux): more is a MemoryError, and the state is kept."""
    file: int = 50 << 20
    """The largest file: more is an OSError, and the state is kept."""
    files: int = 64 << 20
    """All files of the private folder."""
    file_count: int = 1000
    """Files and folders there."""
    written: int = 512 << 20
    """Written to the disk by one process, deleted again or not."""
    threads: int = 64
    open_files: int = 128
    printed: int = 256 << 20
    """Printed by one cell; it is read and thrown away beyond ``shown``."""
    shown: int = 20_000
    """Of what was printed, the first and the last part that are kept, together."""
    images: int = 8
    image_bytes: int = 2 << 20
    live: int = 4
    """Processes at the same time; the one that was used least recently goes."""
    held: int = 32
    """Containers with files, live or not; the one that was used least recently goes."""
    idle_s: float = 20 * 60.0
    """How long a container is kept after its last cell."""

    def of_the_kernel(self, platform: str = sys.platform) -> dict[str, int]:
        """The bounds that the kernel holds, by the names of ``resource``."""
        held = {
            "RLIMIT_CORE": 0,
            "RLIMIT_CPU": self.life_cpu_s,
            "RLIMIT_FSIZE": self.file,
            "RLIMIT_NOFILE": self.open_files,
        }
        if platform != "darwin":  # which counts no addresses
            held["RLIMIT_AS"] = self.addresses
        return held
