from __future__ import annotations

from collections.abc import Iterator

import pytest

from mlxoss.engine.ranks.group import Ranks
from tests.checkpoints import TinyModel, write_checkpoint
from tests.ranks.shared import SharedModel, make_plan, share


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedModel]:
    """Shared by two ranks: MLX forms one group per process, so there is one for all tests."""
    folder = write_checkpoint(tmp_path_factory.mktemp("shared"), TinyModel(hidden=32))
    ranks = Ranks(make_plan(folder))
    try:
        yield share(folder, ranks)
    finally:
        ranks.stop()
