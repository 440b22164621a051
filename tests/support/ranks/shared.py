"""A random model that the tests' own process shares with ranks that it starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import mlx.core as mx

from mlxoss.engine.checkpoint.loader import load_folder
from mlxoss.engine.mlx.batch import LanguageModel, MlxBackend
from mlxoss.engine.prefix_cache.cache import Boundaries, PrefixCache
from mlxoss.engine.ranks.group import RankGroup
from mlxoss.engine.ranks.leading import Cuts, LeadingBackend
from mlxoss.engine.ranks.logits import LeadingLogits
from mlxoss.engine.ranks.messages import Begin, LoadShard
from mlxoss.engine.ranks.probe import read_sums
from mlxoss.engine.ranks.shard import load_shard
from mlxoss.engine.ranks.values import Plan
from mlxoss.hosts import Host

HERE = Host(0, "127.0.0.1", ("127.0.0.1",))


def make_plan(folder: Path, size: int = 2, timeout_s: float = 60.0) -> Plan:
    return Plan((HERE,) * size, "ring", timeout_s, {}, str(folder))


@dataclass
class SharedModel:
    """Computes as the ``whole`` model does; its backends run on ``ranks``, one at a time.

    ``wrap`` is put around both, on rank 0.
    """

    whole: LanguageModel
    shard: Any
    ranks: RankGroup
    wrap: Callable[[Any], Any] = lambda model: model

    def __post_init__(self) -> None:
        self.args = self.whole.args

    def __call__(self, inputs: mx.array, cache: Any = None) -> mx.array:
        logits: mx.array = self.wrap(self.whole)(inputs, cache=cache)
        return logits

    def make_cache(self) -> list[Any]:
        return self.whole.make_cache()

    def make_backend(
        self, *, limit_bytes: int, boundaries: Boundaries, max_batch: int = 8, **options: Any
    ) -> MlxBackend:
        ranks, cuts = self.ranks, Cuts(boundaries)
        with ranks.working():
            ranks.tell(Begin(max_batch, limit_bytes))
            mx.eval(self.shard(mx.array([[0]]), cache=self.shard.make_cache()))
        inner = MlxBackend(
            LeadingLogits(self.wrap(self.shard), ranks.group),
            max_batch=max_batch,
            prefixes=PrefixCache(limit_bytes, cuts),
            **options,
        )
        return cast(MlxBackend, LeadingBackend(ranks, inner, cuts, read_sums(self.shard)))


def share(folder: Path, ranks: RankGroup) -> SharedModel:
    """Start ``ranks`` and load their parts of the model in ``folder``."""
    ranks.start()
    ranks.tell(LoadShard())
    shard = load_shard(folder, ranks.group)
    ranks.ask()
    return SharedModel(load_folder(folder), shard, ranks)
