"""Fixtures of the store's tests."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest


@pytest.fixture
def rng() -> random.Random:
    """Random numbers; a failing test shows the seed."""
    seed = random.randrange(2**32)
    sys.stdout.write(f"seed {seed}\n")
    return random.Random(seed)


@pytest.fixture(params=["file", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    """Where to open a store: a file and memory run the same code and must act alike."""
    return tmp_path / "data" / "responses.db" if request.param == "file" else None
