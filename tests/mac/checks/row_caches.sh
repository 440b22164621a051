#!/bin/sh
# Does one row compute the same bits in plain caches as in a batch's, and do several rows with masks
# that Metal's attention takes as they are? With the bundled demo model, or the one that MODEL names.
# PYTHON is mlxoss's interpreter. 0: right, 77: cannot be tried here, else wrong.
set -u
: "${PYTHON:?its interpreter}"
"$PYTHON" -c 'import sys, mlx.core as mx
raise SystemExit(sys.platform == "darwin" and mx.device_count(mx.gpu) == 0)' || { echo "no GPU"; exit 77; }

"$PYTHON" - "${MODEL:-}" <<'END'
import random
import sys
import time

import mlx.core as mx

from mlxoss.config import Config
from mlxoss.engine.checkpoint.loader import resolve_model
from mlxoss.engine.mlx import forward
from mlxoss.engine.mlx.device import computes_on_metal
from mlxoss.engine.mlx.last_logits import LastLogits
from mlxoss.engine.mlx.lm import BatchRotatingKVCache

model = resolve_model(sys.argv[1] or Config().model).load()
CHUNKS = (100, 27, 1, 1, 260, *[1] * 9, 3, 1, 4, 1)


def run(rows, plain, spread=True):
    """The last position's logits of each pass, and the seconds of the whole."""
    logits = LastLogits(model, plain_caches=plain)
    caches, rng, found = logits.make_caches(rows), random.Random(1), []
    forward.computes_on_metal = computes_on_metal if spread else lambda: False
    began = time.perf_counter()
    for tokens in CHUNKS:
        ids = [[rng.randrange(1000) for _ in range(tokens)] for _ in range(rows)]
        for cache in caches:
            if tokens > 1 and isinstance(cache, BatchRotatingKVCache):
                cache._temporal_order()
        found.append(logits(mx.array(ids), cache=caches))
        mx.eval(found[-1])
    return found, time.perf_counter() - began


def compare(name, one, other):
    (first, took), (second, took_other) = one, other
    apart = [float(mx.max(mx.abs(a - b))) for a, b in zip(first, second, strict=True)]
    same = all(mx.array_equal(a, b) for a, b in zip(first, second, strict=True))
    where = [tokens for tokens, each in zip(CHUNKS, apart, strict=True) if each]
    print(f"{name}: {'the same bits' if same else f'DIFFERENT by {max(apart):.2g} in passes of {where}'}"
          f", {took:.2f} s and {took_other:.2f} s")
    return same


run(1, True), run(1, False), run(3, False)  # what is compiled at the first use
right = compare("one row, plain and as a batch", run(1, True), run(1, False))
right &= compare("three rows, masks per head and shared", run(3, False), run(3, False, spread=False))
sys.exit(not right)
END
