"""Cells in the real sandbox, from a response to the worker's end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlxoss.harmony.encoding import Encoding
from mlxoss.hosted.python.limits import Limits
from mlxoss.hosted.python.tool import Containers, make_root, try_sandbox
from mlxoss.hosted.tools import HostedTools
from tests.support.fakes import ScriptedBackend
from tests.support.hosted.cells import is_alive
from tests.support.server.harness import Server, running
from tests.support.server.rounds import CODE, python
from tests.support.server.scripts import final, in_turn
from tests.support.waiting import until

OUTPUTS: Any = ["code_interpreter_call.outputs"]
SPIN = "import os\nopen('/mnt/data/pid', 'w').write(f'{os.getpid()}.')\nwhile True: pass"


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> str | None:
    return try_sandbox(tmp_path_factory.mktemp("sandbox"))


class CellServer:
    """A server with the real tool, whose model writes ``texts``; its files lie in ``folder``."""

    def __init__(self, stack: ExitStack, encoding: Encoding, folder: Path) -> None:
        self._stack = stack
        self._encoding = encoding
        self._folder = folder
        self.tool: Containers | None = None

    def serve(self, *texts: str, **options: Any) -> Server:
        # Starting takes as long as a busy machine wants.
        limits = replace(Limits(), start_s=600.0, cell_s=600.0)
        tool = self.tool = Containers(make_root(self._folder), None, limits)
        backend = ScriptedBackend(in_turn(self._encoding, texts))
        return self._stack.enter_context(
            running(
                lambda: backend,
                lambda: self._encoding,
                tools=HostedTools(python=tool),
                **options,
            )
        )

    def stop(self) -> None:
        """Stop the server."""
        self._stack.close()

    def pid(self) -> int:
        """Of the worker that runs ``SPIN``."""

        def find() -> str:
            found = [path.read_text() for path in self._folder.rglob("pid")]
            return next((text for text in found if text.endswith(".")), "")

        return int(until(find)[:-1])


@pytest.fixture
def cells(encoding: Encoding, tmp_path: Path, refused: str | None) -> Iterator[CellServer]:
    if refused:
        pytest.skip(f"no sandbox can be set up here: {refused}")
    with ExitStack() as stack:
        yield CellServer(stack, encoding, tmp_path / "cache")


def ask(server: Server, **fields: Any) -> Any:
    fields = {"model": "any", "input": "Compute.", "tools": [CODE], "include": OUTPUTS} | fields
    return server.client().responses.create(**fields)


def test_a_sum_and_a_state_that_is_kept(cells: CellServer) -> None:
    server = cells.serve(python("x = 2**100\nx"), final("Large."), python("x + 1"), final("More."))
    first = ask(server)
    cell = first.output[1]
    assert cell.outputs[0].logs.strip() == str(2**100)
    second = ask(server, previous_response_id=first.id)
    assert second.output[1].outputs[0].logs.strip() == str(2**100 + 1)


def test_a_cancel_ends_the_worker(cells: CellServer) -> None:
    server = cells.serve(python(SPIN), final("Never."))
    response = ask(server, background=True)
    pid = cells.pid()
    assert server.client().responses.cancel(response.id).status == "cancelled"
    assert not is_alive(pid)


def test_a_client_that_leaves_ends_the_worker(cells: CellServer) -> None:
    server = cells.serve(python(SPIN), final("Never."))
    with ask(server, stream=True) as stream:
        for event in stream:
            if event.type == "response.code_interpreter_call.interpreting":
                pid = cells.pid()
                break
    until(lambda: not is_alive(pid))


def test_a_stop_ends_the_worker(encoding: Encoding, cells: CellServer) -> None:
    server = cells.serve(python(SPIN), final("Never."), drain_s=0.1)
    ask(server, background=True)
    pid = cells.pid()
    cells.stop()
    assert not is_alive(pid)
