"""Requests whose answers' log probabilities are at positions of the reference text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from mlxoss.core import GenerationRequest, SamplingParams
from mlxoss.engine.backend import Backend
from mlxoss.harmony.grammar.compiler import GrammarCompiler, TurnGrammar
from tests.support.engine.harness import Outcome, drain, make_request
from tests.support.reference.golden import BEST, POSITIONS, Golden

MEASURED = SamplingParams(temperature=0.0, top_logprobs=BEST + 64)
"""More than are compared: in another order at the end, the same ones are among them."""


def request_after(reference: Golden, position: int) -> GenerationRequest:
    """One token after that position."""
    return make_request(reference.ids[: position + 1], 1, MEASURED)


def follow(
    reference: Golden,
    guards: GrammarCompiler,
    first: int,
    last: int,
    sampling: SamplingParams = MEASURED,
) -> GenerationRequest:
    """A token after each position from ``first`` to ``last``: the text's own, by a grammar."""
    request = make_request(reference.ids[: first + 1], last - first + 1, sampling)
    return replace(request, grammar=force(guards, reference.ids[first + 1 : last + 1]))


def force(guards: GrammarCompiler, ids: Sequence[int]) -> TurnGrammar:
    """A grammar that allows these ids and then some choice."""
    text = " ".join(f"<[{id_}]>" for id_ in ids)
    matcher, error = guards._try(f"start: {text} <[0-9999]>+")
    assert error is None, error
    return TurnGrammar(matcher)


def check(reference: Golden, first: int, outcome: Outcome) -> list[int]:
    """Compare what was said after ``first`` and on; the positions at which it was compared."""
    assert outcome.error is None
    said = range(first, first + len(outcome.tokens))
    assert outcome.ids[:-1] == reference.ids[first + 1 : said.stop]
    compared = [position for position in POSITIONS if position in said]
    for position in compared:
        logprob = outcome.tokens[position - first].logprob
        assert logprob is not None
        reference.check_logprobs(position, dict(logprob.top))
    return compared


def check_each(reference: Golden, backend: Backend, positions: Iterable[int]) -> list[int]:
    """Ask at each position by itself; how much of each prompt was cached."""
    cached = []
    for position in positions:
        cached.append(backend.insert(0, request_after(reference, position)))
        assert check(reference, position, drain(backend, [0])[0]) == [position]
    return cached
