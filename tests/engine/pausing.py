"""What the tests of pauses share: backends that pause at random, and a scheduler on this thread."""

from __future__ import annotations

import queue
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from mlx_lm.models.cache import BatchKVCache

from mlxoss.core import GenerationRequest, TokenOutput
from mlxoss.engine.admission import Room, SequenceBytes
from mlxoss.engine.backend import (
    Backend,
    SequenceFailed,
    SequenceOutput,
    SequencePaused,
    SequencePrefilled,
)
from mlxoss.engine.ledger import Ledger
from mlxoss.engine.scheduler import Cancel, Close, Command, Delivery, Ended, Scheduler, Submit
from tests.engine.harness import Outcome


def with_places(places: int, soon_tokens: int = 4) -> Room:
    """What all sequences share, each as long as the longest."""
    return Room(places, 0, SequenceBytes(1, 0, 0), soon_tokens)


def same(got: Sequence[TokenOutput], expected: Sequence[TokenOutput]) -> None:
    """The same tokens, each once, and the same log probabilities but for rounding."""
    assert [(t.token_id, t.finish) for t in got] == [(t.token_id, t.finish) for t in expected]
    for one, other in zip(got, expected, strict=True):
        assert (one.logprob is None) == (other.logprob is None)
        if one.logprob is not None and other.logprob is not None:
            assert one.logprob.logprob == pytest.approx(other.logprob.logprob, abs=1e-4)
            values = [value for _, value in one.logprob.top]
            assert values == pytest.approx([value for _, value in other.logprob.top], abs=1e-4)


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
    """How it went: outcomes by uid (those that were cancelled: so far), and what was counted."""

    outcomes: dict[int, Outcome]
    admitted: list[int]
    pauses: int
    most_at_once: int


def serve(
    backend: Backend,
    requests: Sequence[GenerationRequest],
    *,
    max_batch: int = 8,
    arrives: Callable[[int], int] = lambda uid: 0,
    cancelled: Callable[[int], int | None] = lambda uid: None,
) -> Served:
    """Have a scheduler on this thread serve ``requests``, by their places in the list.

    Each arrives at the delivery ``arrives(uid)``, and is cancelled once it has as many tokens as
    ``cancelled(uid)`` says.
    """
    commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
    ledger = Ledger(slots=max_batch, places=len(requests), clock=time.monotonic)
    tokens: dict[int, list[TokenOutput]] = {uid: [] for uid in range(len(requests))}
    served = Served({}, [], 0, 0)
    due = sorted(range(len(requests)), key=arrives)
    deliveries = 0

    def arrive() -> None:
        while due and (arrives(due[0]) <= deliveries or len(served.outcomes) == max(due[0], 0)):
            uid = due.pop(0)
            assert ledger.enter(uid)
            commands.put(Submit(uid, requests[uid]))

    def end(uid: int, error: Any = None) -> None:
        served.outcomes[uid] = Outcome(tuple(tokens[uid]), error)

    def deliver(batch: Sequence[Delivery]) -> None:
        nonlocal deliveries
        deliveries += 1
        for each in batch:
            if each.uid in served.outcomes:
                continue
            match each:
                case SequenceOutput(uid, token):
                    tokens[uid].append(token)
                    if token.finish is not None:
                        end(uid)
                    elif len(tokens[uid]) == cancelled(uid):
                        ledger.leave(uid)
                        commands.put(Cancel(uid))
                        end(uid)
                case Ended(uid, error):
                    end(uid, error)
                case _:
                    served.admitted.append(each.uid)
        running, _, _ = ledger.counts()
        served.most_at_once = max(served.most_at_once, running)
        arrive()
        if len(served.outcomes) == len(requests):
            commands.put(Close())

    arrive()
    scheduler = Scheduler(commands, deliver, ledger, max_batch=max_batch, clock=time.monotonic)
    assert not scheduler.run(backend)
    paused, served.pauses = ledger.pauses()
    assert paused == 0
    assert ledger.counts() == (0, 0, 0.0)
    return served


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
        if isinstance(cache, BatchKVCache) and cache.keys is not None:
            return int(cache.keys.shape[0] * cache.keys.shape[2])
    return 0
