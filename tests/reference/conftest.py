from __future__ import annotations

from pathlib import Path

import pytest

from mlxoss.engine.checkpoint.loader import load_folder
from mlxoss.engine.mlx.batch import LanguageModel
from tests.support.reference import golden
from tests.support.reference.checkpoint import Weights, make_weights, write_checkpoint
from tests.support.reference.golden import Golden
from tests.support.reference.history import History


@pytest.fixture(scope="session")
def reference() -> Golden:
    return golden.read()


@pytest.fixture(scope="session")
def weights() -> Weights:
    return make_weights()


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory, weights: Weights) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("reference"), weights)


@pytest.fixture(scope="session")
def model(folder: Path) -> LanguageModel:
    """Loaded on the tests' own thread, for backends that are driven there."""
    return load_folder(folder)


@pytest.fixture(scope="session")
def history(
    tmp_path_factory: pytest.TempPathFactory, model: LanguageModel, reference: Golden
) -> History:
    """The whole text, computed once."""
    return History(model, reference, tmp_path_factory.mktemp("prefixes"))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
