"""What others notice of a long prompt, and what many conversations leave behind.

Run with ``python -m tests.benchmarks.crowd``. ``--streams`` sequences decode while a prompt of
``--tokens`` tokens is prefilled beside them: the longest time between two tokens of theirs, as a
multiple of the median one, each with a chunk of that prefill. Then ``--conversations``
short ones of varied lengths, one after the other, share a prefix cache of ``--megabytes``: the
memory that MLX holds after each fifth of them, beside what the cache's bound and the model take.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from pathlib import Path

import mlx.core as mx

from mlxoss.core import GenerationRequest, SamplingParams
from mlxoss.engine.backend import SequenceOutput, SequencePrefilled
from mlxoss.engine.checkpoint.loader import load_folder
from mlxoss.engine.mlx.batch import LanguageModel, MlxBackend
from mlxoss.engine.prefix_cache.cache import PrefixCache
from tests.benchmarks.guard import PROMPT
from tests.benchmarks.prefix import answer
from tests.support.checkpoints import TinyModel, write_checkpoint

GREEDY = SamplingParams(temperature=0.0)
PARTS = 5
ANSWER_TOKENS = 4


def report_gaps(model: LanguageModel, streams: int, tokens: int) -> None:
    """The pauses of ``streams`` sequences beside a prefill of ``tokens``."""
    backend = MlxBackend(model, max_batch=streams + 1)
    running = GenerationRequest(PROMPT, 1 << 20, frozenset(), GREEDY)
    for uid in range(streams):
        backend.insert(uid, running)
    plain = [step_s(backend)[0] for _ in range(30)][10:]
    ids = tuple(random.choices(range(1000, 2000), k=tokens))
    backend.insert(streams, GenerationRequest(ids, 1, frozenset(), GREEDY))
    gaps: list[float] = []
    has_ended = False
    while not has_ended:
        seconds, has_ended = step_s(backend, streams)
        gaps.append(seconds)
    backend.close()
    usual, beside = statistics.median(plain), statistics.median(gaps)
    print(
        f"{streams} streams beside {tokens} tokens in {len(gaps)} chunks: the longest gap is "
        f"{max(gaps) / beside:.2f} of the median one ({beside:.2f} s, of which a step without "
        f"a chunk takes {usual:.2f} s)",
        flush=True,
    )


def step_s(backend: MlxBackend, uid: int = -1) -> tuple[float, bool]:
    """Seconds until the next tokens of those that decode, and whether ``uid`` has its first."""
    began = time.perf_counter()
    outputs = backend.step()
    while not any(isinstance(output, SequenceOutput) for output in outputs):
        assert any(isinstance(output, SequencePrefilled) for output in outputs)
        outputs = backend.step()
    seconds = time.perf_counter() - began
    return seconds, any(isinstance(o, SequenceOutput) and o.uid == uid for o in outputs)


def report_memory(model: LanguageModel, conversations: int, limit_bytes: int) -> None:
    """The memory after many conversations, each of one to three turns."""
    weights = mx.get_active_memory()
    backend = MlxBackend(model, prefixes=PrefixCache(limit_bytes))
    for count in range(1, conversations + 1):
        ids: tuple[int, ...] = ()
        for _ in range(random.randint(1, 3)):
            ids += tuple(random.choices(range(1000, 2000), k=random.randint(20, 600)))
            ids += answer(backend, ids, ANSWER_TOKENS)
        if count % (conversations // PARTS) == 0:
            held = mx.get_active_memory() - weights
            cached = backend.prefix_cache
            print(
                f"after {count} conversations: {held / limit_bytes:.3f} of the bound held beside "
                f"the model, {cached.bytes / limit_bytes:.3f} in {cached.entries} snapshots",
                flush=True,
            )
    backend.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=30_000)
    parser.add_argument("--conversations", type=int, default=500)
    parser.add_argument("--megabytes", type=int, default=64)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        size = TinyModel(hidden=options.hidden, layers=options.layers)
        model = load_folder(write_checkpoint(Path(folder), size))
        report_memory(model, options.conversations, options.megabytes << 20)
        report_gaps(model, options.streams, options.tokens)


if __name__ == "__main__":
    main()
