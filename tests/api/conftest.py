"""The encoding, loaded once for all tests of the API's floor."""

from __future__ import annotations

import pytest

from mlxoss.harmony.encoding import Encoding, load_encoding


@pytest.fixture(scope="session")
def encoding() -> Encoding:
    return load_encoding()
