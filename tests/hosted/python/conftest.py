from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlxoss.hosted.python.tool import try_sandbox
from tests.support.hosted.cells import Cells

MakeCells = Callable[..., Cells]


@pytest.fixture(scope="session")
def refused(tmp_path_factory: pytest.TempPathFactory) -> str | None:
    return try_sandbox(tmp_path_factory.mktemp("sandbox"))


@pytest.fixture
def make_cells(tmp_path: Path, refused: str | None) -> Iterator[MakeCells]:
    """Tools with other limits."""
    if refused:
        pytest.skip(f"no sandbox can be set up here: {refused}")
    made: list[Cells] = []

    def make(**limits: float) -> Cells:
        made.append(Cells(tmp_path / f"cache{len(made)}", None, **limits))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def cells(make_cells: MakeCells) -> Cells:
    return make_cells()
