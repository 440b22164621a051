"""Choosing the next token: biases and penalties, filters, temperature, log probabilities.

Everything stays on the device and is O(1) work for the host per token, except the log
probabilities, which only requests that want them pay for. The filters are mlx-lm's
(``mlx_lm/sample_utils.py``), in its order; they are written out here because mlx-lm's are
compiled once per distinct value, which on the CPU means starting a C++ compiler each time.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence

import mlx.core as mx
import numpy as np

from mlxoss.core import LEAST_LOGPROB, SamplingParams, TokenLogprob

Sampler = Callable[[mx.array], mx.array]
"""Scores (rows, vocabulary), float32, to token ids (rows,). A score is a log probability plus some
number of its row's, none above 0."""

LogitsProcessor = Callable[[mx.array, mx.array], mx.array]
"""All ids of the sequence so far (n,) and its logits (1, vocabulary) to new logits."""

GREEDY_BELOW_TEMPERATURE = 1e-5
GREEDY_BELOW_TOP_P = 1e-6
"""Less than the most likely of the vocabulary's tokens always has."""

_MOST_SHARED = 64


def greedy(logprobs: mx.array) -> mx.array:
    """The most likely token of each row; the lowest id among equals."""
    return mx.argmax(logprobs, axis=-1)


def make_sampler(params: SamplingParams, *, seed: int) -> Sampler:
    """The sampler for ``params``; ``seed`` starts its own chain of keys.

    Filters apply in mlx-lm's order: ``top_p``, ``min_p``, ``top_k``, each on what the one before
    left, all before the temperature. ``top_k`` keeps exactly that many tokens; 0, a negative
    number or one beyond the vocabulary keeps all. ``top_p`` of 1 or more keeps all. Below a
    temperature of 1e-5 or a ``top_p`` of 1e-6 the most likely token is taken.
    """
    if params.temperature < GREEDY_BELOW_TEMPERATURE or params.top_p < GREEDY_BELOW_TOP_P:
        return greedy
    filters: list[Sampler] = []
    if params.top_p < 1.0:
        filters.append(lambda x: keep_top_p(x, params.top_p))
    if params.min_p > 0.0:
        filters.append(lambda x: keep_min_p(x, params.min_p))
    if params.top_k > 0:
        filters.append(lambda x: keep_top_k(x, params.top_k))
    return _Categorical(filters, params.temperature, seed)


def os_entropy() -> int:
    """64 bits that nobody knows."""
    return int.from_bytes(os.urandom(8), "big")


class Samplers:
    """A batch's samplers. Requests without a seed share one where they ask for the same, so that
    their rows are sampled in one call; ``entropy`` gives its seed.
    """

    def __init__(self, entropy: Callable[[], int]) -> None:
        self._entropy = entropy
        self._shared: dict[tuple[float, float, int, float], Sampler] = {}

    def get(self, params: SamplingParams) -> Sampler:
        """The one for ``params``."""
        if params.seed is not None:
            return make_sampler(params, seed=params.seed)
        key = (params.temperature, params.top_p, params.top_k, params.min_p)
        if key not in self._shared:
            if len(self._shared) >= _MOST_SHARED:
                self._shared.clear()
            self._shared[key] = make_sampler(params, seed=self._entropy())
        return self._shared[key]

    def clear(self) -> None:
        """Forget them all."""
        self._shared.clear()


class _Categorical:
    def __init__(self, filters: Sequence[Sampler], temperature: float, seed: int) -> None:
        self._filters = filters
        self._temperature = temperature
        self._key = mx.random.key(seed % 2**64)

    def __call__(self, logprobs: mx.array) -> mx.array:
        for apply in self._filters:
            logprobs = apply(logprobs)
        if self._temperature != 1.0:
            logprobs = logprobs * (1.0 / self._temperature)
        keys = mx.random.split(self._key)
        self._key = keys[0]
        return mx.random.categorical(logprobs, key=keys[1])


def keep_top_p(logprobs: mx.array, top_p: float) -> mx.array:
    """Drop what lies beyond the smallest set of tokens that holds ``top_p`` of the mass."""
    ascending = mx.sort(logprobs, axis=-1)
    probs = mx.exp(ascending)
    mass_above = mx.cumsum(probs, axis=-1, reverse=True, inclusive=False)
    total = mass_above[..., :1] + probs[..., :1]
    dropped = (mass_above >= top_p * total).sum(axis=-1, keepdims=True)
    # The most likely token always stays, also when its row is not a number.
    dropped = mx.minimum(dropped, logprobs.shape[-1] - 1)
    threshold = mx.take_along_axis(ascending, dropped, axis=-1)
    return mx.where(logprobs < threshold, -math.inf, logprobs)


def keep_min_p(logprobs: mx.array, min_p: float) -> mx.array:
    """Drop tokens less likely than ``min_p`` times the most likely one."""
    threshold = mx.max(logprobs, axis=-1, keepdims=True) + math.log(min_p)
    return mx.where(logprobs < threshold, -math.inf, logprobs)


def keep_top_k(logprobs: mx.array, top_k: int) -> mx.array:
    """Drop all but the ``top_k`` most likely tokens."""
    if top_k >= logprobs.shape[-1]:
        return logprobs
    beyond = mx.argpartition(-logprobs, kth=top_k - 1, axis=-1)[..., top_k:]
    return mx.put_along_axis(logprobs, beyond, mx.array(-math.inf, logprobs.dtype), axis=-1)


class Penalties:
    """A logits processor for one sequence: bias, repetition, presence, frequency, in that order.

    Presence and frequency count the tokens generated so far (OpenAI's meaning); repetition counts
    the prompt's too and divides positive logits by its factor and multiplies negative ones
    (Keskar et al. 2019, as in transformers and mlx-lm). It must see every step of the sequence
    from the first on: at the first call the ids are the prompt's, after that one more each time.
    """

    def __init__(self, params: SamplingParams, vocab_size: int) -> None:
        self._params = params
        self._vocab_size = vocab_size
        self._bias = _make_bias(params, vocab_size)
        self._generated: mx.array | None = None
        self._seen: mx.array | None = None

    @staticmethod
    def wanted(params: SamplingParams) -> bool:
        """Whether ``params`` asks for anything that this processor does."""
        return bool(
            params.logit_bias
            or params.presence_penalty
            or params.frequency_penalty
            or params.repetition_penalty != 1.0
        )

    def __call__(self, token_ids: mx.array, logits: mx.array) -> mx.array:
        """Ids of the sequence so far (n,) and its logits (1, vocabulary) to new logits."""
        self._count(token_ids)
        if self._bias is not None:
            logits = logits + self._bias
        if self._seen is not None:
            penalty = self._params.repetition_penalty
            penalised = mx.where(logits < 0, logits * penalty, logits / penalty)
            logits = mx.where(self._seen, penalised, logits)
        if self._generated is not None:
            frequency = self._params.frequency_penalty * self._generated
            presence = self._params.presence_penalty * (self._generated > 0)
            logits = logits - presence - frequency
        return logits

    def _count(self, token_ids: mx.array) -> None:
        last = token_ids[-1:]
        if self._params.repetition_penalty != 1.0:
            if self._seen is None:
                nothing = mx.zeros(self._vocab_size, dtype=mx.bool_)
                self._seen = mx.put_along_axis(nothing, token_ids, mx.array(True), axis=0)
            else:
                self._seen = mx.put_along_axis(self._seen, last, mx.array(True), axis=0)
        if self._params.presence_penalty or self._params.frequency_penalty:
            if self._generated is None:
                self._generated = mx.zeros(self._vocab_size, dtype=mx.float32)
            else:
                self._generated = self._generated.at[last].add(1.0)


def _make_bias(params: SamplingParams, vocab_size: int) -> mx.array | None:
    if not params.logit_bias:
        return None
    bias = np.zeros(vocab_size, dtype=np.float32)
    for token_id, value in params.logit_bias.items():
        bias[token_id] = value
    return mx.array(bias)


def to_token_logprob(logprobs: mx.array, token_id: int, top: int) -> TokenLogprob:
    """Read log probabilities (vocabulary,), float32, already evaluated.

    Read through numpy, on the host: the device's queue already holds the next step, and asking
    it for a sort would wait for that. Below -9999 they are given as -9999, OpenAI's word for
    "very unlikely", since JSON has no infinity. Raises ``ArithmeticError`` if not numbers.
    """
    values = np.asarray(logprobs)
    chosen = float(values[token_id])
    if math.isnan(chosen):
        raise ArithmeticError("the model's output is not a number")
    if top <= 0:
        return TokenLogprob(max(chosen, LEAST_LOGPROB))
    best = np.argpartition(values, -top)[-top:]
    pairs = sorted(((int(i), float(values[i])) for i in best), key=lambda p: (-p[1], p[0]))
    return TokenLogprob(
        max(chosen, LEAST_LOGPROB), tuple((i, max(v, LEAST_LOGPROB)) for i, v in pairs)
    )
