"""``mlxoss config`` with settings of several values."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

from tests.support.cli.runner import mlxoss


def test_a_list_is_set_shown_and_unset(tmp_path: Path) -> None:
    assert mlxoss(tmp_path, "config", "set", "allow-host", "LLM.example, [::1]").returncode == 0
    file = Path(mlxoss(tmp_path, "config", "path").stdout.strip())
    assert tomllib.loads(file.read_text()) == {"allow_host": ["llm.example", "::1"]}
    assert mlxoss(tmp_path, "config", "get", "allow_host").stdout == "llm.example,::1\n"
    listed = json.loads(mlxoss(tmp_path, "config", "list", "--json").stdout)
    assert (listed["allow_host"], listed["allow_origin"]) == (["llm.example", "::1"], [])
    assert mlxoss(tmp_path, "config", "set", "allow_host", "").returncode == 0
    assert mlxoss(tmp_path, "config", "get", "allow_host").stdout == "\n"
    assert tomllib.loads(file.read_text()) == {}


def test_a_wrong_value_is_refused(tmp_path: Path) -> None:
    done = mlxoss(tmp_path, "config", "set", "allow_origin", "https://a.example,null")
    assert done.returncode == 2
    assert "allow_origin must be an origin" in done.stderr
