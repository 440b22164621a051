"""Rank 0's backend: an ``MlxBackend`` whose every step the other ranks take too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import mlx.core as mx

from mlxoss.core import GenerationRequest
from mlxoss.engine.backend import Backend, PrefixCacheStatus, SequenceFailed, StepOutput
from mlxoss.engine.checkpoint.loader import ModelSource
from mlxoss.engine.mlx.batch import MlxBackend
from mlxoss.engine.mlx.memory import Budget, make_room
from mlxoss.engine.prefix_cache.cache import Boundaries, PrefixCache
from mlxoss.engine.ranks.group import RankGroup
from mlxoss.engine.ranks.logits import LeadingLogits
from mlxoss.engine.ranks.messages import (
    Begin,
    InsertSequence,
    Kept,
    LoadShard,
    Measure,
    PauseSequence,
    RemoveSequence,
    Rest,
    RunStep,
    UnloadShard,
    WarmPrompt,
)
from mlxoss.engine.ranks.probe import Sums, measure, read_sums
from mlxoss.engine.ranks.ring import check_backend
from mlxoss.engine.ranks.shard import load_part
from mlxoss.engine.wiring import choose_wiring_here
from mlxoss.errors import ModelError, NotANumber, RanksLost
from mlxoss.harmony.boundaries import find_boundaries


def load_leading(
    ranks: RankGroup,
    source: ModelSource,
    budget: Budget,
    max_batch: int,
    *,
    fused: bool = True,
    plain_caches: bool = True,
) -> Backend:
    """Load the model on all ranks; what all of them have room for is what there is.

    Starts them the first time, and ends them where the model cannot be loaded, so that no machine
    keeps its part. Raises ``ModelError`` and ``RanksLost``. The engine's thread.
    """
    try:
        return _load(ranks, source, budget, Begin(max_batch, 0, plain_caches), fused)
    except RanksLost:
        raise
    except Exception:
        ranks.stop()
        raise


def _load(
    ranks: RankGroup, source: ModelSource, budget: Budget, begin: Begin, fused: bool
) -> Backend:
    check_backend(ranks.plan.backend)
    ranks.start()
    ranks.tell(LoadShard(fused))
    model, own = load_part(source, budget, ranks.group, fused=fused)
    parts = [own, *ranks.ask()]
    for rank, part in enumerate(parts):
        if part.model != own.model:
            raise ModelError(
                f"Rank {rank} on {ranks.plan.hosts[rank].ssh} has another model of that name: "
                "pull the same revision on all machines."
            )
    prefix_bytes = min(part.prefix_bytes for part in parts)
    total_bytes = mx.get_active_memory() + min(part.room_bytes for part in parts) - prefix_bytes
    begin = replace(begin, prefix_bytes=prefix_bytes)
    with ranks.working():
        ranks.tell(begin)
        room = make_room(model, total_bytes, begin.max_batch)
    cuts = Cuts()
    inner = MlxBackend(
        LeadingLogits(model, ranks.group, plain_caches=begin.plain_caches),
        max_batch=begin.max_batch,
        prefixes=PrefixCache(prefix_bytes, cuts),
        room=room,
    )
    inner.wire(choose_wiring_here(ranks.plan.wired))
    return LeadingBackend(ranks, inner, cuts, read_sums(model))


class Cuts:
    """Where snapshots of the latest prompt are kept, for the other ranks; a ``Boundaries``."""

    def __init__(self, find: Boundaries = find_boundaries) -> None:
        self.latest: tuple[int, ...] = ()
        self._find = find

    def __call__(self, ids: Sequence[int], known: int) -> Sequence[int]:
        """See ``Boundaries``."""
        self.latest = tuple(self._find(ids, known))
        return self.latest


class LeadingBackend:
    """A ``Backend`` on all of ``ranks``, of which ``inner`` is this one's part.

    What needs all ranks at once is told before it is begun here, anything else once it went well
    here. A step that fails leaves the ranks apart, so nothing is rebuilt: they are lost.
    """

    def __init__(self, ranks: RankGroup, inner: MlxBackend, cuts: Cuts, sums: Sums) -> None:
        self._ranks = ranks
        self._inner = inner
        self._cuts = cuts
        self._sums = sums
        self._measure()
        self._warmed: tuple[int, ...] | None = None

    @property
    def prefix_cache(self) -> PrefixCacheStatus | None:
        """See ``Backend``: this rank's, and the others have the same."""
        return self._inner.prefix_cache

    @property
    def most_tokens(self) -> int | None:
        """See ``Backend``."""
        return self._inner.most_tokens

    def has_room(self, request: GenerationRequest) -> bool:
        """See ``Backend``."""
        return self._inner.has_room(request)

    def insert(self, uid: int, request: GenerationRequest) -> int:
        """See ``Backend``."""
        cached_tokens = self._inner.insert(uid, request)
        self._ranks.tell(
            InsertSequence(
                uid=uid,
                prompt_ids=request.prompt_ids,
                max_tokens=self._inner.cut(request).max_tokens,
                stop_ids=tuple(sorted(request.stop_ids)),
                cuts=self._cuts.latest,
                cached_tokens=cached_tokens,
                kept=read_kept(self._inner),
                cache_key=request.cache_key,
            )
        )
        return cached_tokens

    def fits(self) -> bool:
        """See ``Backend``."""
        return self._inner.fits()

    def pause(self, uid: int) -> Sequence[StepOutput]:
        """See ``Backend``. Raises ``RanksLost``: what the last step chose all of them sum up."""
        with self._ranks.working():
            outputs = self._inner.pause(uid)
        if not any(isinstance(output, SequenceFailed) for output in outputs):
            self._ranks.tell(PauseSequence(uid, read_kept(self._inner)))
        self._remove_failed(outputs)
        return outputs

    def remove(self, uid: int) -> None:
        """See ``Backend``."""
        self._inner.remove(uid)
        self._ranks.tell(RemoveSequence(uid))

    def step(self) -> Sequence[StepOutput]:
        """See ``Backend``. Raises ``RanksLost``."""
        plan = self._inner.plan_step()
        runs = tuple(tuple(run) for run in plan.runs) if any(plan.runs) else ()
        with self._ranks.working():
            self._ranks.tell(RunStep(plan.chunk_tokens, runs, read_kept(self._inner)))
            outputs = self._inner.run_step(plan)
        self._remove_failed(outputs)
        return outputs

    def warm(self, prompt_ids: tuple[int, ...]) -> bool:
        """See ``Backend``."""
        if not self._inner.can_warm(prompt_ids):
            return False
        new = None if prompt_ids == self._warmed else prompt_ids
        with self._ranks.working():
            self._ranks.tell(WarmPrompt(new, read_kept(self._inner)))
            self._warmed = prompt_ids
            return self._inner.warm(prompt_ids)

    def rest(self) -> None:
        """See ``Backend``. Measures what a step communicates too."""
        self._ranks.tell(Rest())
        self._inner.rest()
        self._measure()

    def let_go(self) -> None:
        """See ``Backend``. Nothing: without a disk tier it would cost the prefix cache, which all
        ranks have alike."""

    def keep_warm(self) -> None:
        """See ``Backend``. Nothing: what the other machines run on is not known here."""

    def rebuild(self) -> None:
        """See ``Backend``. Raises ``RanksLost``."""
        self._ranks.lose("a step failed on rank 0")
        raise RanksLost("The ranks no longer compute the same.")

    def close(self) -> None:
        """See ``Backend``."""
        if self._ranks.is_lost:
            return  # what waits for the others would wait for ever
        self._ranks.tell(UnloadShard())
        self._inner.close()

    def _remove_failed(self, outputs: Sequence[StepOutput]) -> None:
        for output in outputs:
            if isinstance(output, SequenceFailed):
                is_spoiled = isinstance(output.error, NotANumber)
                self._ranks.tell(RemoveSequence(output.uid, is_spoiled))

    def _measure(self) -> None:
        with self._ranks.working():
            self._ranks.tell(Measure())
            self._ranks.communication_s = measure(self._sums, self._ranks.group)


def read_kept(backend: MlxBackend) -> Kept:
    """What its prefix cache holds: snapshots, bytes."""
    cache = backend.prefix_cache
    return (cache.entries, cache.bytes) if cache is not None else (0, 0)
