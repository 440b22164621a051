from __future__ import annotations

from pathlib import Path

import pytest

from mlxoss.engine.checkpoint.loader import load_folder
from mlxoss.engine.mlx.batch import LanguageModel
from tests.support.checkpoints import TinyModel, write_checkpoint
from tests.support.engine.harness import SMALL_VOCAB
from tests.support.engine.place import Place


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One layer of each kind and a small vocabulary: most of these tests need no more."""
    size = TinyModel(vocab_size=SMALL_VOCAB)
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint"), size)


@pytest.fixture(scope="session")
def model(checkpoint: Path) -> LanguageModel:
    """Loaded on the tests' own thread, for backends that are driven there."""
    return load_folder(checkpoint)


@pytest.fixture
def place(tmp_path: Path, model: LanguageModel) -> Place:
    return Place(tmp_path / "prefixes", model)


@pytest.fixture
def anyio_backend() -> str:
    """Coroutine tests marked ``anyio`` run on asyncio, the loop that the engine is for."""
    return "asyncio"
