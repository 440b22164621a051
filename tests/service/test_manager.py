from __future__ import annotations

from pathlib import Path

import pytest

from mlxoss.errors import ServiceError
from mlxoss.files import locked
from mlxoss.service.launchd import Launchd
from mlxoss.service.manager import Manager


def test_of_two_commands_at_once_the_second_gives_up(tmp_path: Path) -> None:
    state = tmp_path / "new" / "data"
    state.mkdir(parents=True)
    manager = Manager(Launchd("launchctl", 501, tmp_path), state, lock_s=0.05)
    with (
        locked(state / "service.lock"),
        pytest.raises(ServiceError, match="another mlxoss command"),
    ):
        manager.stop()
