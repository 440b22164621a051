from __future__ import annotations

import itertools
import os
import stat
import sys
from pathlib import Path

import platformdirs
import pytest
from huggingface_hub import constants
from platformdirs.macos import MacOS
from platformdirs.unix import Unix

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


_XDG = ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")


@pytest.mark.parametrize(("system", "judge"), [("darwin", MacOS), ("linux", Unix)])
def test_variables_are_those_that_are_given_and_not_this_processs(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    system: str,
    judge: type[platformdirs.PlatformDirs],
) -> None:
    values = (None, "", "relative", str(tmp_path / "of the service"))
    monkeypatch.setattr(sys, "platform", system)
    for chosen in itertools.product(values, repeat=len(_XDG)):
        env = {name: value for name, value in zip(_XDG, chosen, strict=True) if value is not None}
        with monkeypatch.context() as process:
            for name in _XDG:
                process.delenv(name, raising=False)
            for name, value in env.items():
                process.setenv(name, value)
            dirs = judge("mlxoss")
            expected = {
                "settings": dirs.user_config_path / "config.toml",
                "keys and state": dirs.user_data_path,
                "the prefix cache": dirs.user_cache_path,
                "logs": dirs.user_log_path,
            }
        with monkeypatch.context() as process:
            for name in _XDG:
                process.setenv(name, str(tmp_path / "of the shell"))
            found = paths.folders(env)
        assert {name: found[name] for name in expected} == expected, env


def test_models_are_where_huggingface_hub_has_them() -> None:
    assert paths.hub_cache() == Path(constants.HF_HUB_CACHE)
    assert paths.hub_cache({"HF_HUB_CACHE": "/c", "HF_HOME": "/h"}) == Path("/c")
    assert paths.hub_cache({"HF_HOME": "/h", "XDG_CACHE_HOME": "/x"}) == Path("/h/hub")
    assert paths.hub_cache({"XDG_CACHE_HOME": "/x"}) == Path("/x/huggingface/hub")
    assert paths.hub_cache({"HF_HOME": "~/h"}) == Path.home() / "h" / "hub"


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
