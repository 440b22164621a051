"""Sampling in a batch of the MLX backend: seeds, penalties and log probabilities row by row."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from mlxoss.core import GenerationRequest, SamplingParams
from mlxoss.engine.mlx.batch import LanguageModel, MlxBackend
from tests.support.engine.harness import (
    greedy_reference,
    logits_after,
    make_backend,
    make_request,
    random_prompt,
    run_batch,
    tokens_of,
    with_sampling,
)

AT_ONE = SamplingParams(temperature=1.0)


def test_sampled_alike_requests_share_steps_and_differ(model: LanguageModel) -> None:
    request = make_request(random_prompt(9), 12, AT_ONE)
    outcomes = run_batch(make_backend(model), [request] * 4)
    assert len({tuple(outcome.ids) for outcome in outcomes}) == 4


def test_a_seed_gives_the_same_tokens_whatever_runs_beside_it(model: LanguageModel) -> None:
    """On the CPU, whose rounding does not depend on the batch; Metal's does."""

    def seeded(seed: int | None) -> GenerationRequest:
        return make_request(random_prompt(12), 16, SamplingParams(temperature=0.8, seed=seed))

    (alone,) = run_batch(make_backend(model), [seeded(7)])
    mates = [make_request(random_prompt(n), 5 + n, AT_ONE) for n in (3, 40, 150)]
    beside = run_batch(
        make_backend(model), [mates[0], seeded(7), *mates[1:], seeded(8), seeded(-1)]
    )
    unseeded = run_batch(make_backend(model), [seeded(None)]) + run_batch(
        make_backend(model), [seeded(None)]
    )
    assert beside[1].ids == alone.ids
    others = [beside[4], beside[5], *unseeded]
    assert len({tuple(outcome.ids) for outcome in [alone, *others]}) == 5


def test_a_seed_does_not_drain_the_batch(model: LanguageModel) -> None:
    backend = make_backend(model)
    backend.insert(0, make_request(random_prompt(5), 60, AT_ONE))
    while not tokens_of(backend.step(), 0):
        pass
    backend.insert(1, make_request(random_prompt(5), 8, SamplingParams(seed=1)))
    together = 0
    while together < 5:
        outputs = backend.step()
        assert tokens_of(outputs, 0)
        together += len(tokens_of(outputs, 1))


PENALISED = [
    {"presence_penalty": 1.5},
    {"frequency_penalty": 0.7},
    {"repetition_penalty": 1.4},
    {"logit_bias": {3: 4.0, 77: -100.0}},
    {
        "presence_penalty": -0.5,
        "frequency_penalty": 0.9,
        "repetition_penalty": 0.8,
        "logit_bias": {11: 2.0, 1999: 3.0},
    },
]


@pytest.mark.parametrize("changes", PENALISED)
def test_penalties_and_bias_as_written_out_in_numpy(
    model: LanguageModel, changes: dict[str, float]
) -> None:
    prompt = random_prompt(6) * 2
    request = with_sampling(make_request(prompt, max_tokens=14), **changes, top_logprobs=2)
    mate = make_request(random_prompt(150), max_tokens=20)
    penalised, plain = run_batch(make_backend(model), [request, mate])
    assert plain.ids == greedy_reference(model, mate)
    generated: list[int] = []
    for token in penalised.tokens:
        logits = penalised_logits(model, request, generated)
        logprobs = logits - np.log(np.exp(logits - logits.max()).sum()) - logits.max()
        assert token.token_id == int(np.argmax(logits))
        assert token.logprob is not None
        assert token.logprob.logprob == pytest.approx(logprobs[token.token_id], abs=1e-4)
        generated.append(token.token_id)


def penalised_logits(
    model: LanguageModel, request: GenerationRequest, generated: list[int]
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    params = request.sampling
    logits: np.ndarray[tuple[int], np.dtype[np.float64]]
    logits = logits_after(model, [*request.prompt_ids, *generated])
    for token_id, bias in params.logit_bias.items():
        logits[token_id] += bias
    for token_id in {*request.prompt_ids, *generated}:
        factor = params.repetition_penalty
        logits[token_id] = (
            logits[token_id] * factor if logits[token_id] < 0 else (logits[token_id] / factor)
        )
    for token_id in set(generated):
        logits[token_id] -= params.presence_penalty
        logits[token_id] -= params.frequency_penalty * generated.count(token_id)
    return logits


def test_repetition_without_penalty_is_what_the_penalties_prevent(model: LanguageModel) -> None:
    """Guards the tests above: a bias strong enough to repeat, and penalties that stop it."""
    stuck = with_sampling(make_request([5], max_tokens=12), logit_bias={42: 60.0})
    freed = with_sampling(stuck, presence_penalty=80.0)
    counted = with_sampling(stuck, frequency_penalty=20.0)
    first, second, third = run_batch(make_backend(model), [stuck, freed, counted])
    assert first.ids == [42] * 12
    assert second.ids.count(42) == 1
    assert 1 < third.ids.count(42) < 6


@pytest.mark.parametrize("sampling", [SamplingParams(temperature=0.0), SamplingParams(seed=3)])
def test_logprobs_are_the_models_log_softmax(
    model: LanguageModel, sampling: SamplingParams
) -> None:
    base = make_request(random_prompt(130), 6, sampling)
    asked, bare, mate = run_batch(
        make_backend(model),
        [
            with_sampling(base, top_logprobs=5),
            with_sampling(base, top_logprobs=0),
            make_request(random_prompt(7), 9, AT_ONE),
        ],
    )
    assert asked.ids == bare.ids
    assert [token.logprob for token in mate.tokens] == [None] * 9
    for i, (token, short) in enumerate(zip(asked.tokens, bare.tokens, strict=True)):
        logits = logits_after(model, [*base.prompt_ids, *asked.ids[:i]])
        logprobs = logits - np.log(np.exp(logits).sum())
        best = np.argsort(-logprobs)[:5]
        assert token.logprob is not None
        assert short.logprob is not None
        assert token.logprob.logprob == pytest.approx(logprobs[token.token_id], abs=1e-4)
        assert [token_id for token_id, _ in token.logprob.top] == best.tolist()
        assert [value for _, value in token.logprob.top] == pytest.approx(
            logprobs[best].tolist(), abs=1e-4
        )
        assert short.logprob.top == ()
        assert short.logprob.logprob == pytest.approx(token.logprob.logprob, abs=1e-5)


class NotANumber:
    """A model whose weights overflowed."""

    def __init__(self, model: LanguageModel) -> None:
        self.args = model.args
        self.make_cache = model.make_cache
        self._model = model

    def __call__(self, inputs: mx.array, cache: object = None) -> mx.array:
        return self._model(inputs, cache=cache) * mx.array(float("nan"))


@pytest.mark.parametrize(
    "changes",
    [
        {"temperature": 0.0},
        {"temperature": 1.0},
        {"temperature": 0.7, "top_p": 0.5, "min_p": 0.1, "top_k": 5},
        {"presence_penalty": 1.0, "repetition_penalty": 1.1},
    ],
)
def test_a_model_gone_to_nan_fails_and_does_not_hang(
    model: LanguageModel, changes: dict[str, float]
) -> None:
    request = with_sampling(make_request(random_prompt(4), max_tokens=5), **changes)
    outcomes = run_batch(
        MlxBackend(NotANumber(model)), [request, with_sampling(request, top_logprobs=1)]
    )
    for outcome in outcomes:
        assert outcome.ids == []
        assert "not a number" in str(outcome.error)
