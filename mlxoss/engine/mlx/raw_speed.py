"""What a model can do at most on this machine: nothing but its own steps, one after the other.

The figures that a server's are held against. On the calling thread, which must also have loaded
the model.
"""

from __future__ import annotations

import random
import time

import mlx.core as mx

from mlxoss.engine.capacity import PREFILL_TOKENS
from mlxoss.engine.mlx.model import Model


def prefill_rate(model: Model, tokens: int) -> float:
    """Tokens per second of a prompt of ``tokens``, up to the first token after it."""
    began = time.perf_counter()
    _prefill(model, model.make_cache(), _prompts(1, tokens))
    return tokens / (time.perf_counter() - began)


def decode_rate(model: Model, rows: int, *, prompt_tokens: int, tokens: int) -> float:
    """Tokens per second in all of ``rows`` greedy sequences that decode together."""
    cache = model.make_cache()
    latest = _prefill(model, cache, _prompts(rows, prompt_tokens))
    began = time.perf_counter()
    for _ in range(tokens):
        following = mx.argmax(model(latest, cache=cache)[:, -1], axis=-1, keepdims=True)
        mx.async_eval(following)  # type: ignore[no-untyped-call]
        mx.eval(latest)  # the next step is under way meanwhile
        latest = following
    mx.eval(latest)
    return rows * tokens / (time.perf_counter() - began)


def _prefill(model: Model, cache: list[object], prompts: mx.array) -> mx.array:
    """Run all of ``prompts`` (rows, n); the first tokens after them (rows, 1)."""
    for start in range(0, prompts.shape[1], PREFILL_TOKENS):
        logits = model(prompts[:, start : start + PREFILL_TOKENS], cache=cache)
        first = mx.argmax(logits[:, -1], axis=-1, keepdims=True)
        mx.eval(first)
    return first


def _prompts(rows: int, tokens: int) -> mx.array:
    """The same ids in every run, and others in every row, which meet other experts."""
    rng = random.Random(rows)  # noqa: S311  # nosec B311
    return mx.array([[rng.randrange(199_998) for _ in range(tokens)] for _ in range(rows)])
