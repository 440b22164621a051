"""Coding agents by their recipes: an answer of the demo model, and an edit of a file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlxoss.cli.connect.facts import Served
from mlxoss.cli.connect.recipes import RECIPES, render_recipe
from mlxoss.harmony.encoding import Encoding
from tests.clients.conftest import Demo, Find, as_shell, output, run_client
from tests.server.conftest import Serve
from tests.support.clients.scripted import LARGE, OneCall, call
from tests.support.fakes import ScriptedBackend
from tests.support.server.harness import MODEL, Server
from tests.support.server.scripts import always, final

# What these clients would fetch or send elsewhere when they start.
QUIET = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "CONTINUE_TELEMETRY_ENABLED": "0"}
EDIT = "made.txt\n```\nby an edit\n```\n"


@pytest.fixture(scope="module")
def cn(client: Find) -> Path:
    """Before the server: without the client none is started."""
    return client("continue")


@pytest.fixture(scope="module")
def claude(client: Find) -> Path:
    """Before the server: without the client none is started."""
    return client("claude")


@pytest.fixture(scope="module")
def aider(client: Find) -> Path:
    """Before the server: without the client none is started."""
    return client("aider")


def recipe_of(server: Server, name: str) -> str:
    return render_recipe(RECIPES[name], Served(server.url, MODEL.name, needs_key=False))


def run_shell(recipe: str, place: Path, home: Path, *words: str, **env: str) -> str:
    """Run a recipe for a shell, with more words for its last command, which is in ``place``."""
    path = f"{place}:{os.environ['PATH']}"
    return output(["sh", "-c", as_shell(recipe), "sh", *words], home, PATH=path, **QUIET, **env)


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


def test_claude_code_answers(claude: Path, demo: Demo, tmp_path: Path) -> None:
    """With a short prompt of its own; with its usual one the demo's context is too short."""
    place, recipe = claude / "node_modules/.bin", demo.recipe("claude")
    short = ("--system-prompt", "Be short.", "--tools", "")
    key = {"MLXOSS_API_KEY": demo.key}
    with demo.answering("/v1/messages"):
        said = run_shell(recipe, place, tmp_path, "-p", "What is 2 + 3?", *short, **key)
    assert said.strip()


def test_claude_code_knows_a_context_that_is_too_short(
    claude: Path, demo: Demo, tmp_path: Path
) -> None:
    recipe = as_shell(demo.recipe("claude"))
    path = f"{claude / 'node_modules/.bin'}:{os.environ['PATH']}"
    command = ("sh", "-c", recipe, "sh", "-p", "Hello!")
    done = run_client(command, tmp_path, PATH=path, MLXOSS_API_KEY=demo.key)
    assert done.returncode == 1
    assert done.stdout.startswith("Prompt is too long")


def test_claude_code_writes(client: Find, serve: Serve, encoding: Encoding, tmp_path: Path) -> None:
    made = tmp_path / "made.txt"
    wanted = {"file_path": str(made), "content": "by a call\n"}
    model = OneCall(encoding, call("Write", wanted))
    recipe = recipe_of(serve(model.backend(), model=LARGE), "claude")
    place = client("claude") / "node_modules/.bin"
    words = ("-p", "Make made.txt.", "--permission-mode", "acceptEdits")
    assert run_shell(recipe, place, tmp_path, *words) == "Made it.\n"
    assert made.read_text() == "by a call\n"
    assert model.is_spliced


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
