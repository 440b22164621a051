from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.checkpoints import write_checkpoint
from tests.support.cli.mac import Mac
from tests.support.service import standin


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def mac(tmp_path: Path, model: Path, request: pytest.FixtureRequest) -> Iterator[Mac]:
    if why := standin.missing():
        pytest.skip(why)
    made = Mac(tmp_path, model, getattr(request, "param", ""))
    yield made
    made.close()
