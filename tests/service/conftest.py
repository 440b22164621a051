from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.box import STAND_IN, Box


@pytest.fixture
def box(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Box]:
    if not (STAND_IN / "launchctl").exists():
        pytest.skip("there is no stand-in for launchctl beside the checkout")
    if not Path("/proc/self").exists():
        pytest.skip("the stand-in for launchctl needs Linux")
    made = Box(tmp_path, getattr(request, "param", ""))
    yield made
    made.close()
