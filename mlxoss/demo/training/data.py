"""Samples in bulk: which ids get rows, and batches of equal shapes."""

from __future__ import annotations

import multiprocessing
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mlxoss.demo.training.conversations import sample
from mlxoss.demo.training.render import example_ids
from mlxoss.demo.training.words import OTHER_WORDS
from mlxoss.harmony.encoding import VOCAB_SIZE, Encoding, load_encoding

LENGTHS = (128, 176, 224, 304)
"""Samples are padded to the shortest of these that holds them; longer ones are left out."""

Sample = tuple[str, list[int], list[int]]


def make_samples(seed: int, count: int) -> list[Sample]:
    """``count`` samples: family, prompt ids, turn ids. Equal seeds give equal samples."""
    encoding, rng = load_encoding(), random.Random(seed)
    out = []
    for _ in range(count):
        example = sample(rng)
        prompt, turn = example_ids(encoding, example)
        out.append((example.family, prompt, turn))
    return out


def make_pool(seed: int, count: int, workers: int) -> list[Sample]:
    """``count`` samples made by ``workers`` processes, in a fixed order."""
    chunk = 1000
    jobs = [(seed * 1_000_003 + i, chunk) for i in range(-(-count // chunk))]
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        return [item for part in pool.starmap(make_samples, jobs, 1) for item in part]


def rows_for(samples: Sequence[Sample], encoding: Encoding) -> list[int]:
    """Ids that get a row: all that turns hold, and what templates put into prompts."""
    counts: dict[int, int] = {}
    written: set[int] = set()
    for _, prompt, turn in samples:
        written.update(turn)
        for token in set(prompt):
            counts[token] = counts.get(token, 0) + 1
    other = {i for word in OTHER_WORDS for i in encoding.encode_text(f" {word}")}
    other |= {i for word in OTHER_WORDS for i in encoding.encode_text(word)}
    least = max(2, len(samples) // 800)
    common = {token for token, count in counts.items() if count >= least}
    return sorted(written | (common - other))


@dataclass(frozen=True)
class Bucket:
    """Samples of one length, and how much the *next* token counts at each place.

    ``tokens`` are rows of embedding, shape ``(samples, length + 1)``; ``goal`` has
    shape ``(samples, length)``. A batch takes ``take`` samples, or a share if 0.
    """

    tokens: np.ndarray
    goal: np.ndarray
    take: int = 0


def row_table(rows: Sequence[int]) -> np.ndarray:
    """The row of every id of the vocabulary, 0 for ids without one."""
    table = np.zeros(VOCAB_SIZE, np.int16)
    table[np.asarray(rows)] = np.arange(1, len(rows) + 1)
    return table


def buckets(samples: Sequence[Sample], rows: Sequence[int]) -> list[Bucket]:
    """The samples sorted into one bucket a length."""
    table = row_table(rows)
    sorted_out: list[list[tuple[np.ndarray, int, int]]] = [[] for _ in LENGTHS]
    for _, prompt, turn in samples:
        ids = table[np.asarray(prompt + turn)]
        for place, length in zip(sorted_out, LENGTHS, strict=True):
            if len(ids) <= length + 1:
                place.append((ids, len(prompt), len(ids)))
                break
    return [_bucket(part, length) for part, length in zip(sorted_out, LENGTHS, strict=True)]


def _bucket(part: Sequence[tuple[np.ndarray, int, int]], length: int) -> Bucket:
    tokens = np.zeros((len(part), length + 1), np.int16)
    goal = np.zeros((len(part), length), np.float32)
    for i, (ids, start, end) in enumerate(part):
        tokens[i, :end] = ids
        goal[i, start - 1 : end - 1] = 1.0
    return Bucket(tokens, goal)


def batches(
    parts: Sequence[Bucket], rows_per_step: int, seed: int, multiple: int
) -> Iterator[list[tuple[np.ndarray, np.ndarray]]]:
    """For ever, one pair (tokens, goal) a bucket; each bucket keeps its share of the rows.

    Its number of rows is a multiple of ``multiple``.
    """
    rng = np.random.default_rng(seed)
    total = sum(len(part.tokens) for part in parts if not part.take)
    shares = [part.take or rows_per_step * len(part.tokens) / total for part in parts]
    takes = [max(1, round(share / multiple)) * multiple for share in shares]
    orders = [np.empty(0, np.int64) for _ in parts]
    while True:
        out = []
        for i, (part, take) in enumerate(zip(parts, takes, strict=True)):
            if len(orders[i]) < take:
                orders[i] = rng.permutation(len(part.tokens))
            chosen, orders[i] = orders[i][:take], orders[i][take:]
            out.append((part.tokens[chosen].astype(np.int32), part.goal[chosen]))
        yield out
