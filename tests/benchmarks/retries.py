"""What a prompt costs whose client gives up before its first token, as ratios of one run.

Run with ``python -m tests.benchmarks.retries``. A random model is given one message of ``--tokens``
tokens. First the price of keeping its progress: the seconds that a prefill spends on that, as a
share of all of its seconds, in memory alone and with the disk tier; the median of ``--rounds``.
Then a client whose patience is a third of a prefill asks until it has its first token: its
tries, and the seconds and tokens of all of them together, as multiples of one prefill that is
waited for.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlxoss.core import GenerationRequest, SamplingParams
from mlxoss.engine.backend import SequenceOutput, SequencePrefilled
from mlxoss.engine.checkpoint.loader import load_folder
from mlxoss.engine.mlx.batch import LanguageModel, MlxBackend
from mlxoss.engine.prefix_cache.arrays import read_form
from mlxoss.engine.prefix_cache.cache import PrefixCache
from mlxoss.engine.prefix_cache.disk import DiskTier
from tests.support.checkpoints import TinyModel, write_checkpoint

LIMIT_BYTES = 1 << 33
PATIENCE = 1 / 3


class Timed(PrefixCache):
    """A prefix cache that knows how long it takes to keep snapshots."""

    seconds = 0.0

    def keep(self, *args: Any, **options: Any) -> None:
        """See ``PrefixCache``."""
        began = time.perf_counter()
        super().keep(*args, **options)
        self.seconds += time.perf_counter() - began


def make_request(tokens: int) -> GenerationRequest:
    """A prompt of ids that are no message's end, and never the same twice."""
    ids = tuple(random.choices(range(1000, 2000), k=tokens))
    return GenerationRequest(ids, 1, frozenset(), SamplingParams(temperature=0.0))


def prefill(
    backend: MlxBackend, request: GenerationRequest, patience_s: float = float("inf")
) -> tuple[bool, float, int]:
    """Whether the first token came in time; the seconds it took, and the tokens computed."""
    began, computed = time.perf_counter(), 0
    backend.insert(0, request)
    while time.perf_counter() - began < patience_s:
        for output in backend.step():
            if isinstance(output, SequencePrefilled):
                computed += output.tokens
            elif isinstance(output, SequenceOutput):
                return True, time.perf_counter() - began, computed
    backend.remove(0)
    return False, time.perf_counter() - began, computed


@contextmanager
def no_disk(model: LanguageModel) -> Iterator[DiskTier | None]:
    """Memory alone."""
    yield None


@contextmanager
def on_disk(model: LanguageModel) -> Iterator[DiskTier | None]:
    """A disk tier in a folder of its own."""
    form = read_form(model)
    assert form is not None
    with tempfile.TemporaryDirectory() as folder:
        yield DiskTier(Path(folder), LIMIT_BYTES, "random", form)


def report_price(
    model: LanguageModel, tokens: int, rounds: int, make_disk: Callable[..., Any]
) -> None:
    """The share of a prefill's seconds that keeping its progress takes."""
    shares = []
    for _ in range(rounds):
        with make_disk(model) as disk:
            prefixes = Timed(LIMIT_BYTES, lambda ids, known: (), disk)
            backend = MlxBackend(model, prefixes=prefixes)
            _, seconds, _ = prefill(backend, make_request(tokens))
            shares.append(prefixes.seconds / seconds)
            backend.close()
    print(
        f"{make_disk.__name__}: keeping progress takes {statistics.median(shares):.2%} of a "
        f"prefill of {tokens} tokens (of {rounds} rounds {min(shares):.2%} to {max(shares):.2%})",
        flush=True,
    )


def report_tries(model: LanguageModel, tokens: int, rounds: int) -> None:
    """All tries of a client with the patience for a third of the prefill."""
    for _ in range(rounds):
        backend = MlxBackend(model, prefixes=PrefixCache(LIMIT_BYTES))
        _, whole_s, whole = prefill(backend, make_request(tokens))
        request = make_request(tokens)
        has_come, spent_s, computed, tries = False, 0.0, 0, 0
        while not has_come:
            has_come, seconds, more = prefill(backend, request, whole_s * PATIENCE)
            spent_s, computed, tries = spent_s + seconds, computed + more, tries + 1
        print(
            f"the first token came at try {tries}: {spent_s / whole_s:.2f} x the seconds and "
            f"{computed / whole:.3f} x the tokens of one prefill",
            flush=True,
        )
        backend.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=7600)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        size = TinyModel(hidden=options.hidden, layers=options.layers)
        model = load_folder(write_checkpoint(Path(folder), size))
    for make_disk in (no_disk, on_disk):
        report_price(model, options.tokens, options.rounds, make_disk)
    report_tries(model, options.tokens, options.rounds)


if __name__ == "__main__":
    main()
