from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlxoss.hosted.python.seatbelt import SANDBOX_EXEC
from mlxoss.hosted.python.tool import try_sandbox
from mlxoss.hosted.python.worker.landlock import OLDEST_ABI, find_abi
from mlxoss.hosted.python.worker.seccomp import MACHINES
from tests.support.hosted.cells import Cells

MakeCells = Callable[..., Cells]


@pytest.fixture(scope="session")
def refused(tmp_path_factory: pytest.TempPathFactory) -> str | None:
    """Why this system has no sandbox; where it has one, it must stand."""
    if sys.platform == "darwin":
        has_one = Path(SANDBOX_EXEC).exists()
    else:
        has_one = platform.machine() in MACHINES and find_abi() >= OLDEST_ABI
    why = try_sandbox(tmp_path_factory.mktemp("sandbox"))
    assert not has_one or why is None
    return why


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
