"""The reference logits that are kept in ``golden.npz``, and comparing with them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.support.reference.checkpoint import make_ids

FILE = Path(__file__).parents[2] / "reference" / "golden.npz"
NAMES = ("transformers", "openai")

POSITIONS = (0, 1, 100, 127, 128, 129, 130, 500, 1000, *range(4095, 4101), 6000)
"""Whose logits are kept: of the first token and the second, at the edges of the window of 128 and
of the 4,096 tokens before which YaRN scales nothing, between, and beyond."""

BEST = 256
"""How many of the best ids are kept at each position, and as many that are the same at all."""

TOLERANCE = 1e-4
"""The most that a logit, or a log probability, in float32 may be off."""

Row = NDArray[np.float32]


@dataclass(frozen=True)
class Golden:
    """At each of P positions, by each reference (2): logits of its best ids and of some others.

    ``best_ids`` (P, BEST) are the first reference's, best first; ``best`` (2, P, BEST);
    ``some_ids`` (BEST,), ``some`` (2, P, BEST); ``sums`` (2, P), the logarithms of the sums of all
    exponentials; ``argmax`` (2, P). ``weights`` is the checkpoint's digest.
    """

    weights: str
    best_ids: NDArray[np.int64]
    best: NDArray[np.float32]
    some_ids: NDArray[np.int64]
    some: NDArray[np.float32]
    sums: NDArray[np.float64]
    argmax: NDArray[np.int64]

    @cached_property
    def ids(self) -> list[int]:
        """The text; logits at a position are those after its token."""
        return make_ids()

    def check_logits(self, position: int, logits: NDArray[np.floating]) -> None:
        """``logits`` (vocabulary,) are both references', and so is the likeliest id."""
        at = POSITIONS.index(position)
        for one, name in enumerate(NAMES):
            off = max(
                np.abs(logits[self.best_ids[at]] - self.best[one, at]).max(),
                np.abs(logits[self.some_ids] - self.some[one, at]).max(),
            )
            assert off < TOLERANCE, f"off {name} by {off:.1e} at {position}"
            assert int(logits.argmax()) == self.argmax[one, at], f"not {name}'s at {position}"

    def check_logprobs(self, position: int, found: dict[int, float]) -> None:
        """``found`` are the likeliest ids' log probabilities, more than ``BEST`` of them."""
        at = POSITIONS.index(position)
        assert len(found) > BEST
        for one, name in enumerate(NAMES):
            expected = self.best[one, at] - self.sums[one, at]
            own = [found.get(int(id_), -np.inf) for id_ in self.best_ids[at]]
            off = np.abs(own - expected).max()
            assert off < TOLERANCE, f"off {name} by {off:.1e} at {position}"
            assert max(found, key=found.__getitem__) == self.argmax[one, at]


def gather(weights: str, logits: list[list[Row]]) -> Golden:
    """What is kept of each reference's logits (vocabulary,) at each position."""
    every = np.array(logits)
    best_ids = np.argsort(-every[0], axis=1, kind="stable")[:, :BEST]
    size = every.shape[-1]
    some_ids = np.arange(BEST) * (size // BEST) + np.arange(BEST) % (size // BEST)
    exact = every.astype(np.float64)
    return Golden(
        weights=weights,
        best_ids=best_ids,
        best=np.stack([np.take_along_axis(one, best_ids, axis=1) for one in every]),
        some_ids=some_ids,
        some=every[:, :, some_ids],
        sums=np.logaddexp.reduce(exact, axis=-1),
        argmax=every.argmax(axis=-1),
    )


def write(golden: Golden, file: Path = FILE) -> None:
    """Keep ``golden``."""
    names = Golden.__dataclass_fields__
    np.savez_compressed(file, **{name: getattr(golden, name) for name in names})


def read(file: Path = FILE) -> Golden:
    """What was kept."""
    with np.load(file) as stored:
        values = {name: stored[name] for name in stored.files}
    return Golden(**values | {"weights": str(values["weights"])})
