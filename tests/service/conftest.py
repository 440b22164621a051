from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service import standin
from tests.service.box import Box


@pytest.fixture
def box(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Box]:
    if why := standin.missing():
        pytest.skip(why)
    made = Box(tmp_path, getattr(request, "param", ""))
    yield made
    made.close()
