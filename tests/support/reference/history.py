"""The reference text in a prefix cache, with snapshots before the positions that are compared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlxoss.engine.mlx.batch import LanguageModel, MlxBackend
from mlxoss.engine.prefix_cache.arrays import read_form
from mlxoss.engine.prefix_cache.cache import PrefixCache
from mlxoss.engine.prefix_cache.disk import DiskTier
from tests.support.engine.harness import Outcome, drain
from tests.support.reference.asking import request_after
from tests.support.reference.golden import Golden

PLENTY = 1 << 30
CUTS = (1, 90, 100, 127, 128, 129, 400, 490, 500, 990, 4000, 4085, 4095, 4096, 4099, 5990, 6000)
"""Lengths of the snapshots: some end right before a position, others a bit earlier."""


def cut(ids: Sequence[int], known: int) -> list[int]:
    """A ``Boundaries``."""
    return [length for length in CUTS if known < length < len(ids)]


def nearest(position: int) -> int:
    """The longest of ``CUTS`` that a prompt up to ``position`` may be restored from."""
    return max((length for length in CUTS if length <= position), default=0)


class History:
    """The whole text, prefilled once in chunks of 256 tokens; ``outcome`` is what came after it.

    Its snapshots are in memory (``prefixes``) and on the disk (``folder``).
    """

    def __init__(self, model: LanguageModel, reference: Golden, folder: Path) -> None:
        self.model = model
        self.folder = folder
        folder.chmod(0o700)
        self.prefixes = PrefixCache(PLENTY, cut, self.tier())
        backend = self.backend(prefill_step_tokens=256)
        assert backend.insert(0, request_after(reference, len(reference.ids) - 1)) == 0
        self.outcome: Outcome = drain(backend, [0])[0]

    def tier(self) -> DiskTier:
        """The disk's snapshots, as another process would find them."""
        form = read_form(self.model)
        assert form is not None
        return DiskTier(self.folder, PLENTY, "reference", form)

    def backend(self, model: LanguageModel | None = None, **options: Any) -> MlxBackend:
        """A backend that knows the text."""
        return MlxBackend(model or self.model, prefixes=self.prefixes, **options)

    def restarted(self) -> MlxBackend:
        """A backend that knows what is on the disk."""
        return MlxBackend(self.model, prefixes=PrefixCache(PLENTY, cut, self.tier()))
