"""Computes on the GPU and on the CPU, and compares: what the engine stands on.

Exit status 0 where they agree, 77 without Metal, else 1.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import mlx.core as mx
import numpy as np

_NOT_TRIED = 77
_CLOSE = 0.03
"""Of the largest number: both round to bfloat16 or to TF32, in other orders."""


def main() -> int:
    """Print a line for each computation; the exit status."""
    if not mx.metal.is_available() or not mx.device_count(mx.gpu):
        sys.stdout.write("cannot be tried here: there is no Metal device\n")
        return _NOT_TRIED
    told = {name: value for name, value in mx.device_info().items() if name != "resource_limit"}
    sys.stdout.write(f"{told}\n")
    mx.random.seed(0)
    wrong = 0
    for name, compute in computations().items():
        apart = distance(compute)
        wrong += not apart < _CLOSE
        verdict = "right" if apart < _CLOSE else "WRONG"
        sys.stdout.write(f"{verdict}: {name}: apart by {apart:.5f} of the largest\n")
    return 1 if wrong else 0


def distance(compute: Callable[[], mx.array]) -> float:
    """How far apart GPU and CPU are, as a share of the largest number; infinite for no number."""
    found = []
    for device in (mx.gpu, mx.cpu):
        mx.set_default_device(device)
        found.append(np.asarray(compute().astype(mx.float32)))
    gpu, cpu = found
    if not np.isfinite(gpu).all():
        return float("inf")
    return float(np.abs(gpu - cpu).max() / np.abs(cpu).max())


def computations() -> dict[str, Callable[[], mx.array]]:
    """By name; each computes anew on whatever device is the default one."""
    return {
        "a product": lambda: _numbers(512, 512) @ _numbers(512, 512),
        "MXFP4 experts": _experts,
        "attention of a step": lambda: _attention(1),
        "attention of a forced run": lambda: _attention(4),
        "attention of a chunk": lambda: _attention(256),
        "the demo's logits": _demo,
    }


def _numbers(*shape: int, seed: int = 1) -> mx.array:
    """The same on both devices."""
    return mx.array(np.random.default_rng(seed).standard_normal(shape, dtype=np.float32))


def _experts() -> mx.array:
    """Eight experts of (256, 128), four of them for each of 16 tokens."""
    plain = _numbers(8, 256, 128)
    packed, scales, *_ = mx.quantize(plain, group_size=32, bits=4, mode="mxfp4")
    chosen = mx.array(np.arange(64).reshape(16, 4) % 8)
    tokens = _numbers(16, 1, 1, 128, seed=2)
    return mx.gather_qmm(
        tokens, packed, scales, rhs_indices=chosen,
        transpose=True, group_size=32, bits=4, mode="mxfp4",
    )  # fmt: skip


def _attention(queries: int) -> mx.array:
    """64 heads on 8, 64 wide, with sinks and a mask, over 2,048 tokens, as gpt-oss has it."""
    seen = np.arange(2048)[None, :] <= np.arange(2048 - queries, 2048)[:, None]
    return mx.fast.scaled_dot_product_attention(
        _numbers(1, 64, queries, 64),
        _numbers(1, 8, 2048, 64, seed=2),
        _numbers(1, 8, 2048, 64, seed=3),
        scale=0.125,
        mask=mx.array(seen),
        sinks=_numbers(64, seed=4),
    )


def _demo() -> mx.array:
    """After 300 ids of the bundled model's."""
    from mlx_lm.utils import load_model

    from mlxoss.demo import expand_demo

    ids = np.random.default_rng(5).integers(0, 199_998, (1, 300))
    with tempfile.TemporaryDirectory() as folder:
        model = load_model(expand_demo(Path(folder)), strict=True)[0]
        logits: mx.array = model(mx.array(ids))[:, -1]
        mx.eval(logits)
    return logits


if __name__ == "__main__":
    sys.exit(main())
