"""A server that runs its tools itself, for clients that declare them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mlxoss.harmony.encoding import Encoding
from mlxoss.harmony.grammar.compiler import GrammarCompiler
from mlxoss.hosted.python.tool import try_sandbox
from mlxoss.hosted.tools import HostedTools
from tests.server.conftest import Serve
from tests.support.clients.scripted import LARGE
from tests.support.hosted.live import Plans, find_trees, open_cells, open_servers, open_web
from tests.support.internet import Internet
from tests.support.server.harness import Server


@dataclass(frozen=True)
class Live:
    """The server, what its model was asked, and its cells' folder."""

    server: Server
    model: Plans

    @property
    def base(self) -> str:
        return f"{self.server.url}/v1"


Start = Callable[..., Live]


@pytest.fixture(scope="session")
def refused(tmp_path_factory: pytest.TempPathFactory) -> str | None:
    return try_sandbox(tmp_path_factory.mktemp("sandbox"))


@pytest.fixture
def start(
    serve: Serve,
    encoding: Encoding,
    guards: GrammarCompiler,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    refused: str | None,
) -> Any:
    """Start a server whose model has these plans, with all tools or those named."""
    if refused:
        pytest.skip(f"no sandbox can be set up here: {refused}")
    internet = Internet()
    internet.install(monkeypatch)
    monkeypatch.setenv("MLXOSS_HOME", str(tmp_path / "home"))

    def begin(
        plans: Mapping[str, Sequence[str]],
        tools: Sequence[str] = ("python", "browser", "mcp"),
        limits: Mapping[str, float] | None = None,
        **options: Any,
    ) -> Live:
        model = Plans(encoding, plans)
        cells = open_cells(tmp_path / "cache", **(limits or {})) if "python" in tools else None
        browser = open_web(encoding) if "browser" in tools else None
        mcp = open_servers(tmp_path / "home") if "mcp" in tools else None
        hosted = HostedTools(cells, browser, mcp)
        return Live(
            serve(model.backend(), model=LARGE, guards=guards, tools=hosted, **options), model
        )

    with find_trees(internet):
        yield begin
