from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.service import standin
from tests.support.service.box import Box


@pytest.fixture
def box(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Box]:
    if why := standin.missing():
        pytest.skip(why)
    made = Box(tmp_path, getattr(request, "param", ""))
    yield made
    made.close()
