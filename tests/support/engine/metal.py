"""What Metal cannot be had for here, at the edge of MLX: what it tells, and what it wires.

``Sets`` does as ``mlx/backend/metal/resident.cpp`` of MLX 0.32: allocations are taken in while
their sum stays within the limit, one that does not fit is left out as a whole, and more than the
recommended size is refused.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import mlx.core as mx
import pytest

PAGE = 16384
HEAP = 1 << 20


@dataclass
class Sets:
    """MLX's residency sets. ``buffers`` are what MLX counts of each allocation."""

    recommended: int
    buffers: list[int] = field(default_factory=list)
    limits: list[int] = field(default_factory=list)
    wired: list[int] = field(default_factory=list)
    changes: int = 0

    def set_limit(self, limit: int) -> int:
        if limit > self.recommended:
            raise ValueError("Setting a wired limit larger than the maximum working set size")
        before = self.limits[-1] if self.limits else 0
        self.limits.append(limit)
        self.wired = []
        for size in self.buffers:
            self._take(size)
        return before

    def allocate(self, size: int) -> None:
        self.buffers.append(size)
        self._take(size)

    def _take(self, size: int) -> None:
        held = sum(self._pages(each) for each in self.wired) + HEAP
        if self.limits and held + self._pages(size) <= self.limits[-1]:
            self.wired.append(size)
            self.changes += 1

    @staticmethod
    def _pages(size: int) -> int:
        return -(-size // PAGE) * PAGE


@contextmanager
def stand_in_metal(recommended: int, memory: int = 32 << 30) -> Iterator[Sets]:
    """A Metal device in place of this machine's, as far as it tells and wires."""
    sets = Sets(recommended)
    told = {"max_recommended_working_set_size": recommended, "memory_size": memory}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mmap, "PAGESIZE", PAGE)
        patch.setattr(mx, "device_info", lambda *_: told)
        patch.setattr(mx, "set_wired_limit", sets.set_limit)
        yield sets
