"""What a rank other than 0 does with a message."""

from __future__ import annotations

from typing import Any

from mlxoss.core import GenerationRequest, SamplingParams
from mlxoss.engine.checkpoint.loader import resolve_model
from mlxoss.engine.ranks.messages import (
    Begin,
    Failed,
    InsertSequence,
    Join,
    Kept,
    Loaded,
    LoadShard,
    Measure,
    Message,
    PauseSequence,
    RemoveSequence,
    Rest,
    RunStep,
    UnloadShard,
    WarmPrompt,
)
from mlxoss.engine.ranks.ring import join
from mlxoss.engine.ranks.values import Seat
from mlxoss.engine.wiring import choose_wiring_here, renew_wired
from mlxoss.errors import ModelError

GREEDY = SamplingParams(temperature=0.0)
"""Of no account: rank 0 chooses."""


class Divergence(Exception):
    """This rank no longer has what rank 0 has."""


class Following:
    """A rank's part of the model and of the batch. One thread's."""

    def __init__(self, seat: Seat) -> None:
        self._seat = seat
        self._wiring = choose_wiring_here(seat.wired)
        renew_wired(self._wiring)
        self._group: Any = None
        self._model: Any = None
        self._backend: Any = None
        self._warmed: tuple[int, ...] = ()
        self._cuts: tuple[int, ...] = ()

    def take(self, message: Message) -> Loaded | Failed | None:
        """Carry out a message; what is to be answered. Raises whatever goes wrong."""
        match message:
            case Join(addresses):
                seat = self._seat
                self._group = join(seat.backend, seat.rank, addresses, seat.rdma, seat.timeout_s)
            case LoadShard(fused):
                return self._load(fused)
            case Begin():
                self._begin(message)
            case UnloadShard():
                self._unload()
            case _:
                self._work(message)
        return None

    def _work(self, message: Message) -> None:
        match message:
            case InsertSequence():
                self._insert(message)
            case PauseSequence(uid, kept):
                self._backend.pause(uid)
                self._compare(kept)
            case RemoveSequence(uid, is_spoiled):
                self._backend.remove(uid)
                if is_spoiled:
                    self._backend.distrust()
            case RunStep(chunk_tokens, runs, kept):
                self._step(chunk_tokens, runs, kept)
            case WarmPrompt(prompt_ids, kept):
                self._compare(kept)
                self._warmed = self._warmed if prompt_ids is None else prompt_ids
                self._backend.warm(self._warmed)
            case Rest():
                self._backend.rest()
            case Measure():
                from mlxoss.engine.ranks.probe import measure, read_sums

                measure(read_sums(self._model), self._group)
            case _:
                raise Divergence(f"rank 0 said {type(message).__name__}")

    def _load(self, fused: bool) -> Loaded | Failed:
        from mlxoss.engine.mlx.device import budget_bytes, check_device
        from mlxoss.engine.mlx.memory import Budget
        from mlxoss.engine.ranks.shard import load_part

        seat = self._seat
        try:
            check_device()
            budget = Budget(seat.memory_limit or budget_bytes(), seat.prefix_bytes)
            source = resolve_model(seat.model)
            self._model, loaded = load_part(source, budget, self._group, fused=fused)
        except ModelError as error:
            return Failed(str(error), is_model=True)
        return loaded

    def _begin(self, begin: Begin) -> None:
        import mlx.core as mx

        from mlxoss.engine.mlx.batch import MlxBackend
        from mlxoss.engine.prefix_cache.cache import PrefixCache
        from mlxoss.engine.ranks.logits import FollowingLogits

        # Rank 0 finds out what a sequence takes, for which it runs one token.
        logits = FollowingLogits(self._model, self._group, plain_caches=begin.plain_caches)
        mx.eval(logits(mx.array([[0]]), cache=self._model.make_cache()))
        prefixes = PrefixCache(begin.prefix_bytes, lambda *_: self._cuts)
        self._backend = MlxBackend(logits, max_batch=begin.max_batch, prefixes=prefixes)
        self._backend.wire(self._wiring)

    def _insert(self, message: InsertSequence) -> None:
        request = GenerationRequest(
            message.prompt_ids,
            message.max_tokens,
            frozenset(message.stop_ids),
            GREEDY,
            cache_key=message.cache_key,
        )
        self._cuts = message.cuts
        cached_tokens = self._backend.insert(message.uid, request)
        if cached_tokens != message.cached_tokens:
            raise Divergence(
                f"the prefix cache here holds {cached_tokens} tokens of a prompt, and rank 0's "
                f"{message.cached_tokens}"
            )
        self._compare(message.kept)

    def _step(self, chunk_tokens: int, runs: tuple[tuple[int, ...], ...], kept: Kept) -> None:
        from mlxoss.engine.mlx.batch import StepPlan

        self._compare(kept)
        self._backend.run_step(StepPlan(chunk_tokens, [list(run) for run in runs]))

    def _compare(self, kept: Kept) -> None:
        from mlxoss.engine.ranks.leading import read_kept

        if (own := read_kept(self._backend)) != kept:
            raise Divergence(f"the prefix cache here holds {own}, and rank 0's {kept}")

    def _unload(self) -> None:
        from mlxoss.engine.mlx.memory import give_back

        if self._backend is not None:
            self._backend.close()
        self._backend = self._model = None
        give_back()
