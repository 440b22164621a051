"""Coding agents by their recipes: an answer of the demo model, and an edit of a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlxoss.harmony.encoding import Encoding
from tests.clients.conftest import QUIET, Demo, Find, output, recipe_of, run_shell
from tests.server.conftest import Serve
from tests.support.clients.scripted import LARGE, OneCall, call
from tests.support.fakes import ScriptedBackend
from tests.support.server.scripts import always, final

EDIT = "made.txt\n```\nby an edit\n```\n"


@pytest.fixture(scope="module")
def cn(client: Find) -> Path:
    """Before the server: without the client none is started."""
    return client("continue")


@pytest.fixture(scope="module")
def aider(client: Find) -> Path:
    """Before the server: without the client none is started."""
    return client("aider")


def run_continue(recipe: str, client: Path, home: Path, *words: str, **env: str) -> str:
    (home / "config.yaml").write_text(recipe)
    command = [client / "node_modules/.bin/cn", "-p", "--config", home / "config.yaml", *words]
    return output(command, home, **QUIET, **env)


def test_continue_answers(cn: Path, demo: Demo, tmp_path: Path) -> None:
    place, recipe = cn, demo.recipe("continue")
    with demo.answering("/v1/chat/completions"):
        said = run_continue(recipe, place, tmp_path, "Hello!", MLXOSS_API_KEY=demo.key)
    assert said.strip()


def test_continue_writes(client: Find, serve: Serve, encoding: Encoding, tmp_path: Path) -> None:
    made = tmp_path / "made.txt"
    wanted = {"filepath": str(made), "content": "by a call\n"}
    model = OneCall(encoding, call("Write", wanted))
    recipe = recipe_of(serve(model.backend(), model=LARGE), "continue")
    said = run_continue(recipe, client("continue"), tmp_path, "--allow", "Write", "Make made.txt.")
    assert "Made it." in said
    assert made.read_text() == "by a call\n"
    assert model.is_spliced  # it sends neither the reasoning nor the spelling of the arguments


def test_aider_answers(aider: Path, demo: Demo, tmp_path: Path) -> None:
    place, recipe = aider / "bin", demo.recipe("aider")
    words = ("--message", "Hello!", "--no-git", "--yes-always", "--no-check-update")
    ask = ("--chat-mode", "ask")
    with demo.answering("/v1/chat/completions"):
        said = run_shell(recipe, place, tmp_path, *words, *ask, MLXOSS_API_KEY=demo.key)
    assert "ANSWER" in said


def test_aider_edits(client: Find, serve: Serve, encoding: Encoding, tmp_path: Path) -> None:
    server = serve(ScriptedBackend(always(encoding, final(EDIT))), model=LARGE)
    words = ("--message", "Make it.", "--no-git", "--yes-always", "--no-check-update", "made.txt")
    place, recipe = client("aider") / "bin", recipe_of(server, "aider")
    said = run_shell(recipe, place, tmp_path, *words)
    assert "Applied edit to made.txt" in said
    assert (tmp_path / "made.txt").read_text() == "by an edit\n"
