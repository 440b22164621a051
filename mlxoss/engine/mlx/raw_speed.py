"""What a model and the device can do at most: nothing but steps, reads and products by themselves.

The figures that a server's are held against. On the calling thread, which must also have loaded
the model.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import mlx.core as mx

from mlxoss.engine.capacity import PREFILL_TOKENS
from mlxoss.engine.mlx.last_logits import LastLogits
from mlxoss.engine.mlx.model import Caches

_ROUNDS = 6
_READ_BYTES = 1 << 30
_SIDE = 4096
# Without Metal one core reads, and multiplies halves without units for that.
_HOST_READ_BYTES = 1 << 27
_HOST_SIDE = 384


def read_rate() -> float:
    """Bytes per second that the device reads of an array too large for its caches."""
    count = (_READ_BYTES if mx.metal.is_available() else _HOST_READ_BYTES) // 4
    values = mx.arange(count, dtype=mx.uint32)
    return 4 * count / _fastest(lambda: mx.max(values), values)


def multiply_rate(dtype: mx.Dtype) -> float:
    """Floating point operations per second in a product of two square matrices of ``dtype``."""
    side = _SIDE if mx.metal.is_available() else _HOST_SIDE
    values = mx.random.normal((side, side)).astype(dtype)
    return float(2 * side**3 / _fastest(lambda: values @ values, values))


def _fastest(compute: Callable[[], mx.array], given: mx.array) -> float:
    """Seconds of the quickest of some rounds, with what is ``given`` computed before."""
    mx.eval(given)
    times = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        mx.eval(compute())
        times.append(time.perf_counter() - began)
    return min(times)


def prefill_rate(model: LastLogits, tokens: int) -> float:
    """Tokens per second of a prompt of ``tokens``, up to the first token after it."""
    began = time.perf_counter()
    _prefill(model, model.make_caches(1), _prompts(1, tokens))
    return tokens / (time.perf_counter() - began)


def decode_rate(model: LastLogits, rows: int, *, prompt_tokens: int, tokens: int) -> float:
    """Tokens per second in all of ``rows`` greedy sequences that decode together."""
    return Decoding(model, rows, prompt_tokens).run(tokens)


class Decoding:
    """``rows`` greedy sequences that decode together, behind prompts of ``prompt_tokens``, in the
    caches that a batch has for them."""

    def __init__(self, model: LastLogits, rows: int, prompt_tokens: int) -> None:
        self._model, self._rows = model, rows
        self._cache = model.make_caches(rows)
        self._latest = _prefill(model, self._cache, _prompts(rows, prompt_tokens))
        self._ids = [self._latest]

    def run(self, tokens: int) -> float:
        """Decode so many more in each row; tokens per second of all rows."""
        began = time.perf_counter()
        latest = self._latest
        for _ in range(tokens):
            logits = self._model(latest, cache=self._cache)[:, -1]
            following = mx.argmax(logits, axis=-1, keepdims=True)
            mx.async_eval(following)  # type: ignore[no-untyped-call]
            mx.eval(latest)  # the next step is under way meanwhile
            latest = following
            self._ids.append(latest)
        mx.eval(latest)
        self._latest = latest
        return self._rows * tokens / (time.perf_counter() - began)

    def ids(self) -> list[list[int]]:
        """What was chosen so far, row by row."""
        found: list[list[int]] = mx.concatenate(self._ids, axis=1).tolist()  # type: ignore[assignment]
        return found


def _prefill(model: LastLogits, cache: Caches, prompts: mx.array) -> mx.array:
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
