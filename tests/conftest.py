from __future__ import annotations

import pytest

from mlxoss.harmony.guards import Guards


@pytest.fixture(scope="session")
def guards() -> Guards:
    """One for all: making the tokenizer takes seconds."""
    return Guards()
