"""The reference logits themselves: of these weights, of these packages, and of the numpy model."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from tests.reference import make_golden
from tests.support.reference import golden
from tests.support.reference.checkpoint import Weights, digest, make_config
from tests.support.reference.golden import NAMES, POSITIONS, TOLERANCE, Golden
from tests.support.reference.numpy_model import NumpyModel

MAKERS = {"transformers": make_golden.by_transformers, "openai": make_golden.by_openai}
PACKAGES = {"transformers": "transformers", "openai": "gpt_oss"}


def is_there(*packages: str) -> bool:
    return all(importlib.util.find_spec(package) is not None for package in packages)


def test_the_weights_are_those_of_the_references(weights: Weights, reference: Golden) -> None:
    assert digest(weights) == reference.weights


def test_the_references_agree(reference: Golden) -> None:
    for values in (reference.best, reference.some, reference.sums):
        assert np.abs(values[0] - values[1]).max() < TOLERANCE / 4
    assert np.array_equal(*reference.argmax)
    # Far from a tie, so that the likeliest id is a matter of the model and not of rounding.
    assert (reference.best[:, :, 0] - reference.best[:, :, 1]).min() > 10 * TOLERANCE


def test_the_numpy_model_says_the_same(weights: Weights, reference: Golden) -> None:
    model = NumpyModel(make_config(), weights)
    found = model.logits(reference.ids, POSITIONS)
    for position, logits in zip(POSITIONS, found, strict=True):
        reference.check_logits(position, logits)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_made_anew_they_are_the_same(name: str, weights: Weights, reference: Golden) -> None:
    """Slow: about 10 s and 3 GB."""
    if not is_there("torch", PACKAGES[name]):
        pytest.skip(
            f"torch and {PACKAGES[name]} are not installed (tests/reference/make_golden.py)"
        )
    anew = MAKERS[name](weights, reference.ids)
    made = golden.gather(reference.weights, [anew, anew])
    one = NAMES.index(name)
    for position, logits in zip(POSITIONS, anew, strict=True):
        reference.check_logits(position, logits)
    assert np.abs(made.some[0] - reference.some[one]).max() < TOLERANCE / 4
    assert np.abs(made.sums[0] - reference.sums[one]).max() < TOLERANCE / 4
    assert np.array_equal(made.argmax[0], reference.argmax[one])
