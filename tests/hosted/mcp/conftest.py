from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.mcp.running import write_servers

Configure = Callable[..., Path]


@pytest.fixture
def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Configure:
    """Writes the file of servers that ``opened`` reads."""
    monkeypatch.setenv("MLXOSS_HOME", str(tmp_path))

    def write(**servers: Any) -> Path:
        return write_servers(tmp_path, servers)

    return write
