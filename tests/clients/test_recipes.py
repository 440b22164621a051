"""The recipes of ``mlxoss connect``, run as they are printed, by the clients they are for."""

from __future__ import annotations

import os
import subprocess
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest

from mlxoss.cli.codex import write_settings
from mlxoss.cli.recipes import RECIPES, render_recipe
from mlxoss.cli.served import Served
from tests.cli.runner import mlxoss
from tests.clients.install import FOLDER
from tests.server.conftest import Serve
from tests.server.harness import MODEL
from tests.server.scripts import HELLO

PYTHON = FOLDER / "python"
SITE = "lib/python*/site-packages"
OPEN = Served("http://127.0.0.1:8000", "some/model", needs_key=False)
LOCKED = Served("https://mac.local:1", 'odd"model', needs_key=True)


def run(command: Sequence[str | Path], home: Path, **env: str) -> str:
    done = subprocess.run(
        command, cwd=home, env={**os.environ, **env}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def recipe(name: str, url: str) -> str:
    return render_recipe(RECIPES[name], Served(url, MODEL.name, needs_key=False))


@pytest.mark.parametrize(
    ("name", "package"), [("openai-node", "openai"), ("vercel-ai", "@ai-sdk/openai")]
)
def test_node(serve: Serve, tmp_path: Path, name: str, package: str) -> None:
    if not (FOLDER / "node_modules" / package).exists():
        pytest.skip(f"no {package} for Node: python -m tests.clients.install")
    (tmp_path / "node_modules").symlink_to(FOLDER / "node_modules")
    script = tmp_path / "recipe.mjs"
    script.write_text(recipe(name, serve(HELLO).url))
    assert run(["node", script], tmp_path) == "Hello, wörld 🎉!\n"


@pytest.mark.parametrize(
    ("name", "package"),
    [("openai-python", "openai"), ("agents", "agents"), ("langchain", "langchain_openai")],
)
def test_python(serve: Serve, tmp_path: Path, name: str, package: str) -> None:
    skip_without(package)
    script = tmp_path / "recipe.py"
    script.write_text(recipe(name, serve(HELLO).url))
    assert run([PYTHON / "bin/python", script], tmp_path) == "Hello, wörld 🎉!\n"


def test_llm(serve: Serve, tmp_path: Path) -> None:
    skip_without("llm")
    (tmp_path / "extra-openai-models.yaml").write_text(recipe("llm", serve(HELLO).url))
    command: list[str | Path] = [PYTHON / "bin/llm", "-m", "mlxoss", "--key", "none", "Hello!"]
    assert run(command, tmp_path, LLM_USER_PATH=str(tmp_path)) == "Hello, wörld 🎉!\n"


def skip_without(package: str) -> None:
    if not list(PYTHON.glob(f"{SITE}/{package}")):
        pytest.skip(f"no {package} for Python: python -m tests.clients.install")


def test_connect_lists_and_fills_in(tmp_path: Path) -> None:
    listed = mlxoss(tmp_path, "connect").stdout
    assert [line.split()[0] for line in listed.splitlines()] == list(RECIPES)
    env = {"MLXOSS_PORT": "4321", "MLXOSS_MODEL": "some/model"}
    shown = mlxoss(tmp_path, "connect", "aider", env=env).stdout
    assert "=http://127.0.0.1:4321/v1\n" in shown
    assert 'aider --model "openai/some/model"' in shown
    assert "MLXOSS_API_KEY" not in shown
    mlxoss(tmp_path, "key", "create", "mine")
    assert "OPENAI_API_KEY=$MLXOSS_API_KEY" in mlxoss(tmp_path, "connect", "aider").stdout
    wrong = mlxoss(tmp_path, "connect", "none")
    assert wrong.returncode == 2
    assert wrong.stderr == "mlxoss: No recipe is called 'none'; list them with: mlxoss connect\n"


@pytest.mark.parametrize("name", RECIPES)
def test_nothing_is_left_to_fill_in(name: str) -> None:
    for served in (OPEN, LOCKED):
        text = render_recipe(RECIPES[name], served)
        assert not any(word in text for word in ("@BASE@", "@URL@", "@MODEL@", "KEY@"))
        assert ("mlxoss key create" in text) == served.needs_key


OLD = """\
# mine
model = "gpt" # old
approval_policy = "never"

[model_providers.other]
name = "o"
"""


def test_codex_settings_are_merged_and_the_old_file_kept(tmp_path: Path) -> None:
    file = tmp_path / "home" / "config.toml"
    assert write_settings(file, OPEN) is None
    file.write_text(OLD)
    backup = write_settings(file, LOCKED)
    assert backup is not None
    assert backup.read_text() == OLD
    text = file.read_text()
    assert text.startswith("# mine\n")
    found = tomllib.loads(text)
    assert found["approval_policy"] == "never"
    assert found["model"] == LOCKED.model
    assert found["model_providers"]["other"] == {"name": "o"}
    assert found["model_providers"]["mlxoss"]["base_url"] == LOCKED.base
    assert write_settings(file, LOCKED) is None  # nothing changes, nothing is copied
    assert sorted(path.name for path in file.parent.iterdir()) == ["config.toml", backup.name]


@pytest.mark.parametrize("text", ["a = [", "model_providers = 1\n", "model_providers = [1]\n"])
def test_codex_settings_that_are_wrong_are_left_alone(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.toml").write_text(text)
    done = mlxoss(tmp_path, "codex", "--write", env={"CODEX_HOME": str(tmp_path)})
    assert done.returncode == 2
    assert "mend it first" in done.stderr
    assert (tmp_path / "config.toml").read_text() == text
