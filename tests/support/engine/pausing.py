"""What the tests of pauses share: backends that pause at random, and a scheduler on this thread."""

from __future__ import annotations

import queue
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import mlx.core as mx
import pytest
from mlx_lm.models.cache import BatchKVCache, KVCache

from mlxoss.core import GenerationRequest, TokenOutput
from mlxoss.engine.backend import (
    Backend,
    SequenceFailed,
    SequenceOutput,
    SequencePaused,
    SequencePrefilled,
)
from mlxoss.engine.capacity import Room, SequenceBytes
from mlxoss.engine.messages import Admitted, Cancel, Close, Command, Delivery, Ended, Submit
from mlxoss.engine.mlx.batch import LanguageModel
from mlxoss.engine.occupancy import Occupancy
from mlxoss.engine.scheduler import Scheduler
from tests.support.engine.harness import Outcome, make_backend, run_batch


def with_places(places: int, soon_tokens: int = 4) -> Room:
    """What all sequences share, each as long as the longest."""
    return Room(places, 0, SequenceBytes(1, 0, 0), soon_tokens)


@dataclass
class Noisy:
    """A model whose logits are off by a bit more than rounding makes them."""

    model: Any
    seed: int

    def __post_init__(self) -> None:
        self.args = self.model.args
        self._key = mx.random.key(self.seed)

    def __call__(self, inputs: mx.array, cache: Any = None) -> mx.array:
        logits: mx.array = self.model(inputs, cache=cache)
        self._key, key = mx.random.split(self._key)
        return logits + NOISE * mx.random.normal(logits.shape, key=key)

    def make_cache(self) -> list[Any]:
        return list(self.model.make_cache())


NOISE = 2e-5
TRIES = 200


def alone(model: LanguageModel, request: GenerationRequest) -> Sequence[TokenOutput]:
    """What it says when it runs by itself, in one process, and nothing is kept."""
    whole = getattr(model, "whole", model)
    return run_batch(make_backend(whole), [request])[0].tokens


def check_same(
    model: LanguageModel,
    request: GenerationRequest,
    got: Sequence[TokenOutput],
    expected: Sequence[TokenOutput],
) -> None:
    """The same tokens, each once, and the same log probabilities but for rounding.

    Batches of other shapes round otherwise. Where that decides, which is once in some thousand
    tokens as they are drawn by the sum of what comes before, both tokens are right.
    """
    for at, (one, other) in enumerate(zip(got, expected, strict=False)):
        if one.token_id != other.token_id:
            assert _is_tied(model, request, [token.token_id for token in got[: at + 1]])
            return
        assert one.finish == other.finish
        assert (one.logprob is None) == (other.logprob is None)
        if one.logprob is not None and other.logprob is not None:
            assert one.logprob.logprob == pytest.approx(other.logprob.logprob, abs=1e-4)
            values = [value for _, value in one.logprob.top]
            assert values == pytest.approx([value for _, value in other.logprob.top], abs=1e-4)
    assert len(got) == len(expected)


def _is_tied(model: LanguageModel, request: GenerationRequest, ids: Sequence[int]) -> bool:
    cut = replace(request, max_tokens=len(ids))
    noisy = (Noisy(getattr(model, "whole", model), seed) for seed in range(TRIES))
    return any([token.token_id for token in alone(each, cut)] == ids for each in noisy)


@dataclass
class Interrupted:
    """A batch whose sequences are paused now and then, wherever they are."""

    backend: Backend
    rng: random.Random
    tokens: dict[int, list[TokenOutput]] = field(default_factory=dict)
    paused: dict[int, GenerationRequest] = field(default_factory=dict)
    running: set[int] = field(default_factory=set)
    pauses: int = 0
    pauses_in_prefill: int = 0

    def run(self, requests: Sequence[GenerationRequest], chance: float) -> list[list[TokenOutput]]:
        """All tokens of each; about ``chance`` of the steps pause something."""
        for uid, request in enumerate(requests):
            self.backend.insert(uid, request)
            self.running.add(uid)
            self.tokens[uid] = []
        while self.running or self.paused:
            if self.running and self.rng.random() < chance:
                uid = self.rng.choice(sorted(self.running))
                self.pauses_in_prefill += not self.tokens[uid]
                self._take(self.backend.pause(uid))
            if self.paused and (not self.running or self.rng.random() < 0.3):
                uid = self.rng.choice(sorted(self.paused))
                self.backend.insert(uid, self.paused.pop(uid))
                self.running.add(uid)
            self._take(self.backend.step())
        return [self.tokens[uid] for uid in range(len(requests))]

    def _take(self, outputs: Sequence[Any]) -> None:
        for output in outputs:
            match output:
                case SequenceOutput(uid, token):
                    assert uid in self.running
                    self.tokens[uid].append(token)
                    if token.finish is not None:
                        self.running.discard(uid)
                case SequencePaused(uid, request):
                    self.running.discard(uid)
                    self.paused[uid] = request
                    self.pauses += 1
                case SequenceFailed():
                    raise output.error
                case SequencePrefilled():
                    pass


@dataclass
class Served:
    """A scheduler on this thread that serves ``requests``, by their places in the list.

    Each arrives at the delivery ``arrivals[uid]``, and is cancelled once it has as many tokens as
    ``cancels[uid]`` says. Afterwards: the outcomes (of what was cancelled: so far), who was
    admitted in which order, how many pauses there were, and how many ran at a time.
    """

    requests: Sequence[GenerationRequest]
    max_batch: int = 8
    arrivals: Sequence[int] = ()
    cancels: Mapping[int, int] = field(default_factory=dict)
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    admitted: list[int] = field(default_factory=list)
    pauses: int = 0
    most_at_once: int = 0

    def run(self, backend: Backend) -> Served:
        """Serve them all."""
        self._commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self._occupancy = Occupancy(
            slots=self.max_batch, places=len(self.requests), clock=time.monotonic
        )
        self._tokens: list[list[TokenOutput]] = [[] for _ in self.requests]
        self._arrived = self._deliveries = 0
        self._arrive()
        scheduler = Scheduler(
            self._commands,
            self._deliver,
            self._occupancy,
            max_batch=self.max_batch,
            clock=time.monotonic,
        )
        assert not scheduler.run(backend)
        paused, self.pauses = self._occupancy.pauses()
        assert paused == 0
        assert self._occupancy.counts() == (0, 0, 0.0)
        return self

    def _arrive(self) -> None:
        """Those that are due, or the next one where nothing else would go on."""
        arrivals = self.arrivals or [0] * len(self.requests)
        while self._arrived < len(arrivals) and (
            arrivals[self._arrived] <= self._deliveries or len(self.outcomes) == self._arrived
        ):
            assert self._occupancy.enter(self._arrived)
            self._commands.put(Submit(self._arrived, self.requests[self._arrived]))
            self._arrived += 1

    def _deliver(self, deliveries: Sequence[Delivery]) -> None:
        self._deliveries += 1
        for delivery in deliveries:
            if delivery.uid not in self.outcomes:
                self._take(delivery)
        running, _, _ = self._occupancy.counts()
        self.most_at_once = max(self.most_at_once, running)
        self._arrive()
        if len(self.outcomes) == len(self.requests):
            self._commands.put(Close())

    def _take(self, delivery: Delivery) -> None:
        uid = delivery.uid
        match delivery:
            case SequenceOutput(_, token):
                self._tokens[uid].append(token)
                if len(self._tokens[uid]) == self.cancels.get(uid):
                    self._occupancy.leave(uid)
                    self._commands.put(Cancel(uid))
                elif token.finish is None:
                    return
                self.outcomes[uid] = Outcome(tuple(self._tokens[uid]), None)
            case Ended(_, error):
                self.outcomes[uid] = Outcome(tuple(self._tokens[uid]), error)
            case Admitted():
                self.admitted.append(uid)


class Measured:
    """A backend that checks after each step that its caches are no larger than the room."""

    def __init__(self, inner: Any, room: Room) -> None:
        self._inner = inner
        self._room = room
        self.steps = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def step(self) -> Any:
        outputs = self._inner.step()
        batch = getattr(self._inner, "_inner", self._inner)  # a leading rank's part
        lengths = [row.length_after(0) for row in batch._rows.values()]
        assert self._room.holds(lengths)
        generator = batch._generator
        waiting = [sequence[3] for sequence in generator._unprocessed_sequences]
        assert sum(map(_places, waiting)) + sum(
            _places(part.prompt_cache)
            for part in (generator._prompt_batch, generator._generation_batch)
        ) <= (self._room.free_bytes)
        self.steps += 1
        return outputs


def _places(caches: Sequence[Any]) -> int:
    """All rows' together, in one layer of full attention."""
    for cache in caches:
        if isinstance(cache, BatchKVCache | KVCache) and cache.keys is not None:
            return int(cache.keys.shape[0] * cache.keys.shape[2])
    return 0
