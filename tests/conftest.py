from __future__ import annotations

import hypothesis
import pytest

from mlxoss.harmony.guards import Guards

# A busy machine makes nothing wrong.
hypothesis.settings.register_profile(
    "patient",
    deadline=None,
    print_blob=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("patient")


@pytest.fixture(scope="session")
def guards() -> Guards:
    """One for all: making the tokenizer takes seconds."""
    return Guards()
