from __future__ import annotations

import os
import stat
from pathlib import Path

import platformdirs
import pytest

from mlxoss import paths
from mlxoss.errors import ConfigError


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_one_variable_moves_every_folder(tmp_path: Path) -> None:
    env = {"MLXOSS_HOME": str(tmp_path / "home")}
    assert paths.config_file(env) == tmp_path / "home" / "config" / "config.toml"
    assert paths.cache_dir(env) == tmp_path / "home" / "cache"
    assert paths.data_dir(env) == tmp_path / "home" / "data"
    assert paths.log_dir(env) == tmp_path / "home" / "logs"
    assert paths.pins_file(env) == tmp_path / "home" / "data" / "models.json"


def test_a_relative_home_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert paths.config_file({"MLXOSS_HOME": "h"}) == tmp_path / "h" / "config" / "config.toml"


@pytest.mark.parametrize("env", [{}, {"MLXOSS_HOME": ""}])
def test_without_it_the_platforms_own_folder_is_used(env: dict[str, str]) -> None:
    assert paths.config_file(env) == platformdirs.user_config_path("mlxoss") / "config.toml"


def test_folders_are_their_owners_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        folder = paths.data_dir({"MLXOSS_HOME": str(tmp_path / "home")})
    finally:
        os.umask(before)
    assert _mode(folder) == 0o700
    assert _mode(folder.parent) == 0o700


def test_an_existing_folder_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir(mode=0o755)
    folder = paths.cache_dir({"MLXOSS_HOME": str(tmp_path)})
    assert _mode(folder) == 0o755


def test_a_config_file_is_named_without_making_its_folder(tmp_path: Path) -> None:
    file = paths.config_file({"MLXOSS_HOME": str(tmp_path)})
    assert not file.parent.exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file, not a folder")
    with pytest.raises(ConfigError, match=r"home/data cannot be made"):
        paths.data_dir({"MLXOSS_HOME": str(tmp_path / "home")})
