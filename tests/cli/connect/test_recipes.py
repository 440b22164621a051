"""What ``mlxoss connect`` prints."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from mlxoss.cli.connect.facts import Served
from mlxoss.cli.connect.recipes import RECIPES, render_recipe
from tests.support.cli.runner import mlxoss

OPEN = Served("http://127.0.0.1:8000", "some/model", needs_key=False, context_tokens=4096)
LOCKED = Served("https://mac.local:1", 'odd"model', needs_key=True)


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
        assert not re.search("@[A-Z_]+@", text)
        assert ("mlxoss key create" in text) == served.needs_key


def test_zed_is_told_what_it_reads() -> None:
    """Its settings are JSON with comments; the names are those of its manual."""
    lines = render_recipe(RECIPES["zed"], OPEN).splitlines()
    settings = json.loads("\n".join(line for line in lines if not line.startswith("//")))
    provider = settings["language_models"]["openai_compatible"]["mlxoss"]
    assert provider["api_url"] == OPEN.base
    (model,) = provider["available_models"]
    assert (model["name"], model["max_tokens"]) == (OPEN.model, OPEN.context_tokens)
    assert model["capabilities"]["interleaved_reasoning"]  # it sends the reasoning back
