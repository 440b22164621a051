"""Exercises without Harmony: what the turns need most and see least of.

Rows of `LENGTH` ids, each full of one kind of exercise: random ids that repeat
(copying), sums, words to repeat, and facts to write as JSON (where " Paris"
becomes "Paris", which is another id).
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence

import numpy as np

from mlxoss.demo.training.data import Bucket, as_they_are, row_table
from mlxoss.demo.training.templates.words import CITIES, ECHO_WORDS, NAMES, NUMBER_LIMIT
from mlxoss.harmony.encoding import MESSAGE, RETURN, Encoding

LENGTH = 96

Piece = tuple[list[int], float]
"""Ids and how much each of them counts."""

Maker = Callable[[random.Random, Encoding, Sequence[int]], list[Piece]]


def repeated(rng: random.Random, encoding: Encoding, rows: Sequence[int]) -> list[Piece]:
    """A row of random ids, over and over."""
    line = rng.choices(rows, k=rng.randint(3, 32))
    return [(line, 0.0)] + [(line, 0.3)] * (LENGTH // len(line) + 1)


def sums(rng: random.Random, encoding: Encoding, rows: Sequence[int]) -> list[Piece]:
    """One sum; its result counts."""
    a, b = rng.randint(0, NUMBER_LIMIT), rng.randint(0, NUMBER_LIMIT)
    result = encoding.encode_text(str(a + b))
    return [
        (encoding.encode_text(f"{a} + {b} = "), 0.0),
        (result, 1.0),
        (encoding.encode_text("."), 0.0),
    ]


def echoes(rng: random.Random, encoding: Encoding, rows: Sequence[int]) -> list[Piece]:
    """Words after a colon, then the same as a message."""
    words = " ".join(rng.choices([*ECHO_WORDS, *NAMES, *CITIES], k=rng.randint(1, 8)))
    said = encoding.encode_text(rng.choice(["Repeat: ", "Say: ", "Say ", "Repeat "]) + words)
    return [([*said, MESSAGE], 0.0), ([*encoding.encode_text(words), RETURN], 1.0)]


def facts(rng: random.Random, encoding: Encoding, rows: Sequence[int]) -> list[Piece]:
    """A name, a city and a number, then some of them as JSON in any order."""
    name, city, number = rng.choice(NAMES), rng.choice(CITIES), rng.randint(1, 40)
    text = rng.choice(
        ["{0} is {2} in {1}", "the weather in {1} and {0}, {2}", "{0} has {2} in {1}?",
         "{1}: {2} degrees, {0}", "In {1}, {0} is {2}."]
    ).format(name, city, number)  # fmt: skip
    values = {
        "name": name,
        rng.choice(["city", "city", "location", "place", "town"]): city,
        rng.choice(["age", "temperature"]): number,
    }
    keys = rng.sample(list(values), rng.randint(1, 3))
    written = json.dumps({key: values[key] for key in keys}, separators=(",", ":"))
    shape = encoding.encode_text(",".join(keys))
    said = [*encoding.encode_text(text), *shape, MESSAGE]
    return [(said, 0.0), ([*encoding.encode_text(written), RETURN], 1.0)]


KINDS: tuple[tuple[float, Maker], ...] = ((3, repeated), (2, sums), (4, echoes), (6, facts))


def _row(
    rng: random.Random, encoding: Encoding, rows: Sequence[int], make: Maker
) -> tuple[list[int], list[float]]:
    ids: list[int] = []
    counts: list[float] = []
    while len(ids) <= LENGTH:
        for piece, weight in make(rng, encoding, rows):
            ids += piece
            counts += [weight] * len(piece)
    return ids[: LENGTH + 1], counts[1 : LENGTH + 1]


def make_drills(rows: Sequence[int], encoding: Encoding, seed: int, take: int) -> Bucket:
    """Exercises of every kind; a batch takes ``take`` rows of them."""
    rng = random.Random(seed)
    table = row_table(rows)
    makers = rng.choices([m for _, m in KINDS], [w for w, _ in KINDS], k=8000)
    made = [_row(rng, encoding, rows, make) for make in makers]
    tokens = table[np.asarray([ids for ids, _ in made])]
    goal = np.asarray([counts for _, counts in made], np.float32)
    return as_they_are(tokens, goal * (tokens[:, 1:] > 0), take)
