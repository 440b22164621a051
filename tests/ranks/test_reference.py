"""The logits of a model that two ranks share are transformers' and OpenAI's."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlxoss.harmony.grammar.compiler import GrammarCompiler
from tests.support.engine.harness import GREEDY, drain, make_backend, run_batch
from tests.support.ranks.shared import SharedModel
from tests.support.reference import golden
from tests.support.reference.asking import check, check_each, follow, request_after
from tests.support.reference.golden import POSITIONS, Golden
from tests.support.reference.history import PLENTY, cut, nearest


@pytest.fixture(scope="module")
def reference() -> Golden:
    return golden.read()


def test_in_chunks_from_snapshots_and_after_forced_runs(
    model: SharedModel, reference: Golden, guards: GrammarCompiler
) -> None:
    backend = make_backend(model, limit_bytes=PLENTY, boundaries=cut, prefill_step_tokens=256)
    assert check_each(reference, backend, [6000]) == [0]
    cached = check_each(reference, backend, POSITIONS)
    assert all(length >= nearest(p) for p, length in zip(POSITIONS, cached, strict=True))
    for first, last in ((90, 130), (400, 500), (4090, 4097)):
        # Without log probabilities its ids go through the model together. It ends amid what the
        # grammar leaves no choice about: all of it is the text's own.
        request = follow(reference, guards, first, last + 2, GREEDY)
        backend.insert(0, replace(request, max_tokens=last - 1 - first))
        drain(backend, [0])
        assert check_each(reference, backend, [last]) == [last]


def test_a_batch_of_unequal_lengths_step_by_step(
    model: SharedModel, reference: Golden, guards: GrammarCompiler
) -> None:
    ends = {0: 100, 90: 130, 128: 130, 491: 500, 1000: 1000}
    requests = [follow(reference, guards, first, last) for first, last in ends.items()]
    outcomes = run_batch(make_backend(model, prefill_step_tokens=77), requests)
    for (first, last), outcome in zip(ends.items(), outcomes, strict=True):
        assert check(reference, first, outcome) == [p for p in POSITIONS if first <= p <= last]


def test_a_batch_of_snapshots(
    model: SharedModel, reference: Golden, guards: GrammarCompiler
) -> None:
    backend = make_backend(model, limit_bytes=PLENTY, boundaries=cut)
    check_each(reference, backend, [4096])
    firsts = (99, 127, 495, 4094)
    outcomes = run_batch(backend, [follow(reference, guards, n, n + 6) for n in firsts])
    for first, outcome in zip(firsts, outcomes, strict=True):
        assert check(reference, first, outcome)
    assert check(reference, 130, run_batch(backend, [request_after(reference, 130)])[0])
