"""Samples in bulk: which ids get rows, and batches of equal shapes."""

from __future__ import annotations

import multiprocessing
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mlxoss.demo.training.render import Span, example_ids, far_spans
from mlxoss.demo.training.stretch import stretch
from mlxoss.demo.training.templates.conversations import sample
from mlxoss.demo.training.templates.words import OTHER_WORDS
from mlxoss.harmony.encoding import VOCAB_SIZE, Encoding, load_encoding

LENGTHS = (176, 304, 448, 704)
"""Samples are padded to the shortest of these that holds them; longer ones are left out."""

Sample = tuple[str, list[int], list[int], list[Span]]
"""Family, prompt ids, turn ids, and where the prompt stands for a longer one."""

Rows = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Tokens, goal, positions and counts of some samples."""

_Row = tuple[np.ndarray, int, list[Span]]


def make_samples(seed: int, count: int) -> list[Sample]:
    """``count`` samples. Equal seeds give equal samples."""
    encoding, rng = load_encoding(), random.Random(seed)
    out = []
    for _ in range(count):
        example = sample(rng)
        prompt, turn = example_ids(encoding, example)
        out.append((example.family, prompt, turn, far_spans(encoding, example.far, prompt)))
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
    for _, prompt, turn, spans in samples:
        written.update(turn)
        for token in set(_near(prompt, spans)):
            counts[token] = counts.get(token, 0) + 1
    other = {i for word in OTHER_WORDS for i in encoding.encode_text(f" {word}")}
    other |= {i for word in OTHER_WORDS for i in encoding.encode_text(word)}
    least = max(2, len(samples) // 800)
    common = {token for token, count in counts.items() if count >= least}
    return sorted(written | (common - other))


def _near(prompt: Sequence[int], spans: Sequence[Span]) -> list[int]:
    """``prompt`` without what stands for longer text."""
    kept: list[int] = []
    at = 0
    for start, end in spans:
        kept += prompt[at:start]
        at = max(at, end)
    return [*kept, *prompt[at:]]


@dataclass(frozen=True)
class Bucket:
    """Samples of one length, and how much the *next* token counts at each place.

    ``tokens`` are rows of embedding, shape ``(samples, length + 1)``; ``goal``, ``positions`` and
    ``counts`` (`mlxoss.demo.training.stretch`) have shape ``(samples, length)``. A batch takes
    ``take`` samples, or a share if 0.
    """

    tokens: np.ndarray
    goal: np.ndarray
    positions: np.ndarray
    counts: np.ndarray
    take: int = 0

    def rows(self, chosen: np.ndarray) -> Rows:
        """Some of the samples, as they are trained on."""
        tokens = self.tokens[chosen].astype(np.int32)
        return tokens, self.goal[chosen], self.positions[chosen], self.counts[chosen]


def as_they_are(tokens: np.ndarray, goal: np.ndarray, take: int) -> Bucket:
    """A bucket of samples that stand for nothing longer."""
    positions = np.broadcast_to(np.arange(goal.shape[1], dtype=np.int32), goal.shape)
    return Bucket(tokens, goal, positions, np.zeros_like(goal), take)


def row_table(rows: Sequence[int]) -> np.ndarray:
    """The row of every id of the vocabulary, 0 for ids without one."""
    table = np.zeros(VOCAB_SIZE, np.int16)
    table[np.asarray(rows)] = np.arange(1, len(rows) + 1)
    return table


def buckets(samples: Sequence[Sample], rows: Sequence[int]) -> list[Bucket]:
    """The samples sorted into one bucket a length."""
    table = row_table(rows)
    sorted_out: list[list[_Row]] = [[] for _ in LENGTHS]
    for _, prompt, turn, spans in samples:
        ids = table[np.asarray(prompt + turn)]
        for place, length in zip(sorted_out, LENGTHS, strict=True):
            if len(ids) <= length + 1:
                place.append((ids, len(prompt), spans))
                break
    return [_bucket(part, length) for part, length in zip(sorted_out, LENGTHS, strict=True)]


def _bucket(part: Sequence[_Row], length: int) -> Bucket:
    rng = random.Random(length)
    tokens = np.zeros((len(part), length + 1), np.int16)
    goal, counts = (np.zeros((len(part), length), np.float32) for _ in range(2))
    positions = np.zeros((len(part), length), np.int32)
    for i, (ids, start, spans) in enumerate(part):
        end = len(ids)
        tokens[i, :end] = ids
        goal[i, start - 1 : end - 1] = 1.0
        positions[i], counts[i] = stretch(rng, length, spans)
    return Bucket(tokens, goal, positions, counts)


def batches(
    parts: Sequence[Bucket], rows_per_step: int, seed: int, multiple: int
) -> Iterator[list[Rows]]:
    """For ever, some rows of each bucket; each bucket keeps its share of the rows.

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
            out.append(part.rows(chosen))
        yield out
