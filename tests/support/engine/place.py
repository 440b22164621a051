"""A folder of snapshots, and daemons' lives on it."""

from __future__ import annotations

import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlxoss.core import GenerationRequest
from mlxoss.engine.mlx.batch import LanguageModel, MlxBackend
from mlxoss.engine.prefix_cache.arrays import read_form
from mlxoss.engine.prefix_cache.cache import PrefixCache
from mlxoss.engine.prefix_cache.disk import DiskTier
from mlxoss.engine.prefix_cache.disk_files import scan
from tests.support.engine.harness import make_request
from tests.support.engine.prefixes import MARK, PLENTY, check_cold, cut_at_marks, run_one, text


@dataclass
class Place:
    """A folder, and a daemon's lives on it."""

    folder: Path
    model: LanguageModel
    limit_bytes: int = PLENTY
    checkpoint: str = "one"

    def tier(self) -> DiskTier:
        self.folder.mkdir(mode=0o700, exist_ok=True)
        form = read_form(self.model)
        assert form is not None
        return DiskTier(self.folder, self.limit_bytes, self.checkpoint, form)

    def backend(self, limit_bytes: int = PLENTY, **options: Any) -> MlxBackend:
        prefixes = PrefixCache(limit_bytes, cut_at_marks, self.tier())
        return MlxBackend(self.model, prefixes=prefixes, **options)

    def answer(self, *requests: GenerationRequest) -> list[int]:
        """Run ``requests`` in a life of their own and compare; how much of each was cached."""
        backend = self.backend()
        found = []
        for request in requests:
            cached, ids = run_one(backend, request)
            check_cold(self.model, request, ids)
            found.append(cached)
        self.end(backend)
        return found

    def end(self, backend: MlxBackend) -> None:
        """Close it as the engine does, which drops the model then; this one is the tests' own."""
        backend.close()
        self.check_folder()

    def files(self) -> list[Path]:
        return sorted(self.folder.iterdir())

    def check_folder(self) -> None:
        """What is there is within its bound, whole, and its owner's alone."""
        stored = scan(self.folder, time.time())
        assert len(stored) == len(self.files())
        assert sum(file.stat().st_size for file in self.files()) <= self.limit_bytes
        keys = {one.link.key for one in stored} | {"0"}
        assert all(one.link.parent in keys for one in stored)
        assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in self.files())


def two_turns(first: int = 400, more: int = 200) -> tuple[GenerationRequest, GenerationRequest]:
    """A prompt, and one that goes on from it."""
    prompt = [*text(first), MARK, 9]
    return make_request(prompt, 6), make_request([*prompt, MARK, *text(more, 1), MARK, 9], 8)
