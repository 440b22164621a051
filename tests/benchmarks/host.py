"""What a decode step costs the host, beside mlx-lm: building the graph, and everything else.

Run with ``python -m tests.benchmarks.host``. A random model of 24 thin layers decodes one row, so
that the graph is as long as the 20b's and the device has next to nothing to do. All figures are the
CPU time of the one thread that drives it, in blocks that take turns, ``--rounds`` times over;
ratios are medians over the rounds, with the range of half of them. ``graph`` is the model's call,
before anything is computed; ``rest`` is a step without that. mlx-lm's is the model as mlx-lm loads
it, whose rotary positions multiply by YaRN's factor. Our loader puts that into the attention's
scale, so mlx-lm's modules are also measured as it leaves them. Rotary positions are in all graphs:
one operation on Metal, elsewhere a dozen. Before that it counts the operations of one token's
graph: mlx-lm's, and ours in plain caches, in those of a batch, and for several rows.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx_lm.generate import generate_step
from mlx_lm.utils import load_model

from mlxoss.core import GenerationRequest, SamplingParams
from mlxoss.engine.checkpoint.loader import load_folder
from mlxoss.engine.mlx.batch import MlxBackend
from mlxoss.engine.mlx.last_logits import LastLogits
from mlxoss.harmony.encoding import load_encoding
from mlxoss.harmony.grammar.compiler import GrammarCompiler
from mlxoss.harmony.grammar.rules import TurnRules
from mlxoss.harmony.grammar.tokenizer import make_guard_tokenizer
from tests.benchmarks.guard import From
from tests.support.checkpoints import TinyModel, write_checkpoint
from tests.support.engine.graphs import count_operations
from tests.support.harmony.walks import to_ids

PROMPT = tuple(range(1000, 1064))
SIZE = TinyModel(layers=24, hidden=32)
LONG = 1 << 20

Block = Callable[[int], float]
"""Runs so many steps; CPU seconds of this thread per step."""


def timed(step: Callable[[], object]) -> Block:
    def run(steps: int) -> float:
        began = time.thread_time()
        for _ in range(steps):
            step()
        return (time.thread_time() - began) / steps

    return run


def graph_of(model: Callable[..., mx.array], make_cache: Callable[[], list[Any]]) -> Block:
    cache = make_cache()
    mx.eval(model(mx.array([PROMPT]), cache=cache))
    latest = mx.array([[5]])

    def run(steps: int) -> float:
        took = 0.0
        for _ in range(steps):
            began = time.thread_time()
            logits = model(latest, cache=cache)
            took += time.thread_time() - began
            mx.eval(logits)
        return took / steps

    return run


def operations_of(model: Any, caches: list[Any], rows: int = 1) -> int:
    """In the graph of a step."""
    for length in (200, 1, 1):
        mx.eval(model(mx.full((rows, length), 5, mx.uint32), cache=caches))
    return count_operations(model(mx.full((rows, 1), 5, mx.uint32), cache=caches))


def stock_steps(model: Any) -> Block:
    tokens: Iterator[Any] = generate_step(mx.array(PROMPT), model, max_tokens=LONG)
    next(tokens)
    return timed(lambda: next(tokens))


def own_steps(model: Any, *, guarded: bool) -> Block:
    grammar = None
    if guarded:
        encoding = load_encoding()
        header = to_ids(encoding, "<|channel|>analysis<|message|>")
        guards = GrammarCompiler(lambda: make_guard_tokenizer(encoding))
        grammar = From(guards.compile(TurnRules()), header)
    backend = MlxBackend(model)
    sampling = SamplingParams(temperature=0.0)
    backend.insert(0, GenerationRequest(PROMPT, LONG, frozenset(), sampling, grammar))
    for _ in range(8):
        backend.step()
    return timed(backend.step)


def show(name: str, ratios: list[float]) -> None:
    low, middle, high = statistics.quantiles(ratios, n=4)
    print(f"{name:<58}{middle:6.2f}   ({low:.2f} to {high:.2f})")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--block", type=int, default=16)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_checkpoint(Path(folder), SIZE)
        stock: Any = load_model(Path(folder))[0]
        apart: Any = load_folder(Path(folder), fused=False)
        own: Any = load_folder(Path(folder))
        alone, in_batch = LastLogits(own), LastLogits(own, plain_caches=False)
        for name, count in (
            ("mlx-lm's", operations_of(stock, stock.make_cache())),
            ("one row", operations_of(alone, alone.make_caches(1))),
            ("one row as a batch", operations_of(in_batch, in_batch.make_caches(1))),
            ("8 rows", operations_of(in_batch, in_batch.make_caches(8), 8)),
        ):
            print(f"{'operations, ' + name:<58}{count:6}")
        blocks = {
            "stock graph": graph_of(stock, stock.make_cache),
            "stock graph, YaRN's factor in the scale": graph_of(apart, apart.make_cache),
            "graph": graph_of(alone, own.make_cache),
            "graph in a batch's caches": graph_of(in_batch, lambda: in_batch.make_caches(1)),
            "stock step": stock_steps(stock),
            "step": own_steps(own, guarded=False),
            "guarded step": own_steps(own, guarded=True),
        }
        rounds = []
        names = list(blocks)
        for number in range(options.rounds):
            order = names[number % len(names) :] + names[: number % len(names)]
            rounds.append({name: blocks[name](options.block) for name in order})
    for name in names:
        print(f"{name:<58}{statistics.median(r[name] for r in rounds) * 1e3:6.2f} ms")
    show("graph, of mlx-lm's", [r["graph"] / r["stock graph"] for r in rounds])
    show(
        "graph, of mlx-lm's with YaRN's factor in the scale",
        [r["graph"] / r["stock graph, YaRN's factor in the scale"] for r in rounds],
    )
    show(
        "graph, of that in a batch's caches",
        [r["graph"] / r["graph in a batch's caches"] for r in rounds],
    )
    rests = [(r["step"] - r["graph"]) / (r["stock step"] - r["stock graph"]) for r in rounds]
    show("rest of an unguarded step, of mlx-lm's generate_step", rests)
    show("guarded free text, of unguarded", [r["guarded step"] / r["step"] for r in rounds])
    show("a step, of mlx-lm's generate_step", [r["step"] / r["stock step"] for r in rounds])


if __name__ == "__main__":
    main()
