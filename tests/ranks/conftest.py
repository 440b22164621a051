from __future__ import annotations

from collections.abc import Iterator

import pytest

from mlxoss.engine.ranks.group import RankGroup
from tests.support.ranks.shared import SharedModel, make_plan, share
from tests.support.reference.checkpoint import make_weights, write_checkpoint


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedModel]:
    """That of the reference logits, shared by two ranks: MLX forms one group per process, so there
    is one for all tests."""
    folder = write_checkpoint(tmp_path_factory.mktemp("shared"), make_weights())
    ranks = RankGroup(make_plan(folder))
    try:
        yield share(folder, ranks)
    finally:
        ranks.stop()
