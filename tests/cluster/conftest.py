from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cluster import sshd
from tests.support.cluster.sshd import Network


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    """A network whose ``ssh`` is this process's own."""
    if why := sshd.missing():
        pytest.skip(why)
    folder = tmp_path / "network"
    folder.mkdir()
    made = Network(folder)
    monkeypatch.setenv("PATH", made.path)
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    yield made
    made.close()
