"""Prompts in messages, requests run on a prefix cache, and what a cold run gives for them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from mlxoss.core import GenerationRequest, SamplingParams
from mlxoss.engine.backend import SequenceOutput, SequencePrefilled
from mlxoss.engine.mlx.batch import LanguageModel, MlxBackend
from tests.support.engine import harness
from tests.support.engine.harness import (
    drain,
    greedy_reference,
    logits_after,
    make_request,
    random_prompt,
)

MARK = 7
"""Begins each message of these tests' prompts, as ``<|start|>`` does."""

MEASURED = SamplingParams(temperature=0.0, top_logprobs=0)
PLENTY = 1 << 30
BUDGET = 30
"""Requests of a random walk."""
TIED = 1e-4
"""Chunks and batches of other shapes round otherwise, by about 1e-6: logits so near each other
may change places, and only those."""


def cut_at_marks(ids: Sequence[int], known: int) -> list[int]:
    cuts = [i + 1 for i, id_ in enumerate(ids[:-1]) if id_ == MARK and i + 1 > known]
    last = len(ids) - 1
    return cuts if last in (known, *cuts[-1:]) or last == 0 else [*cuts, last]


def text(length: int, seed: int = 0) -> list[int]:
    """A message: ``length`` ids without a mark among them."""
    return [id_ + (id_ == MARK) for id_ in random_prompt(length, seed)]


def make_backend(model: LanguageModel, limit_bytes: int = PLENTY, **options: Any) -> MlxBackend:
    return harness.make_backend(model, limit_bytes=limit_bytes, boundaries=cut_at_marks, **options)


def run_one(backend: MlxBackend, request: GenerationRequest) -> tuple[int, list[int]]:
    """How much of the prompt was cached, and the answer."""
    cached = backend.insert(0, request)
    outcome = drain(backend, [0])[0]
    assert outcome.error is None
    return cached, outcome.ids


def check_cold(model: LanguageModel, request: GenerationRequest, got: Sequence[int]) -> None:
    """``got`` is what a cold run gives, up to a tie if there is one."""
    expected = greedy_reference(model, request)[: len(got)]
    pairs = enumerate(zip(got, expected, strict=True))
    differ = next((i for i, (one, other) in pairs if one != other), None)
    if differ is not None:
        logits = logits_after(model, [*request.prompt_ids, *expected[:differ]])
        assert logits[expected[differ]] - logits[got[differ]] < TIED


@dataclass
class Walk:
    """Random conversations that branch, repeat, meet in batches and are cancelled."""

    model: LanguageModel
    rng: random.Random
    backend: MlxBackend
    known: list[list[int]] = field(default_factory=list)
    requests: dict[int, GenerationRequest] = field(default_factory=dict)
    cached: dict[int, int] = field(default_factory=dict)
    computed: dict[int, int] = field(default_factory=dict)
    got: dict[int, list[int]] = field(default_factory=dict)
    last: dict[int, float] = field(default_factory=dict)
    running: set[int] = field(default_factory=set)

    def check(self, uid: int) -> None:
        """The tokens are a cold run's, and the last one's probability is."""
        request, ids = self.requests[uid], self.got[uid]
        check_cold(self.model, request, ids)
        if ids:
            logits = logits_after(self.model, [*request.prompt_ids, *ids[:-1]])
            exact = logits[ids[-1]] - np.logaddexp.reduce(logits)
            assert self.last[uid] == pytest.approx(exact, abs=TIED)

    def submit(self) -> None:
        uid = len(self.requests)
        request = make_request(self._prompt(), self.rng.randint(1, 12), MEASURED)
        self.requests[uid] = request
        self.cached[uid] = self.backend.insert(uid, request)
        assert 0 <= self.cached[uid] < len(request.prompt_ids)
        self.computed[uid], self.got[uid] = 0, []
        self.running.add(uid)

    def cancel(self) -> None:
        uid = self.rng.choice(sorted(self.running))
        self.backend.remove(uid)
        self.running.discard(uid)

    def step(self) -> None:
        for output in self.backend.step():
            match output:
                case SequencePrefilled(uid, tokens):
                    self.computed[uid] += tokens
                case SequenceOutput(uid, token):
                    self.got[uid].append(token.token_id)
                    assert token.logprob is not None
                    self.last[uid] = token.logprob.logprob
                    if token.finish is not None:
                        self._end(uid)
                case _:
                    raise AssertionError(output)

    def _end(self, uid: int) -> None:
        request = self.requests[uid]
        assert self.cached[uid] + self.computed[uid] == len(request.prompt_ids)
        self.known.append([*request.prompt_ids, *self.got[uid]])
        self.running.discard(uid)

    def _prompt(self) -> list[int]:
        rng = self.rng
        near = rng.choice([126, 127, 128, 129, 255, 256, 257, rng.randint(1, 300)])
        if not self.known or rng.random() < 0.15:
            return text(near, rng.randrange(3))
        base = rng.choice(self.known[-6:])
        match rng.randrange(5):
            case 0:
                return base
            case 1:
                base = base[: rng.randint(1, len(base))]
            case 2:
                base = base[: max(1, near - 1)]
        if len(base) > 500:
            base = base[:130]
        return [*base, MARK, *text(rng.choice([1, 20, 127, 128]), rng.randrange(4)), MARK, 9]
