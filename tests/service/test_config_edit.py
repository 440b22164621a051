from __future__ import annotations

import datetime
import stat
import tomllib
from pathlib import Path

import pytest

from mlxoss.errors import ConfigError
from mlxoss.service.config_edit import change_config_file, edit_config, find_setting

TEXT = """# Our server in the office.
host = "0.0.0.0"   # everyone
port = 9000

# Small machine:
max_batch = 2
"""


def test_comments_and_order_stay() -> None:
    edited = edit_config(TEXT, {"port": 9001, "max_queue": 5, "host": None})
    assert (
        edited
        == TEXT.replace('host = "0.0.0.0"   # everyone\n', "").replace("9000", "9001")
        + "max_queue = 5\n"
    )


def test_what_is_there_already_changes_nothing() -> None:
    assert edit_config(TEXT, {"port": 9000, "model": None}) == TEXT
    names = 'allow_host = [ "a", "b" ] # two\n'
    assert edit_config(names, {"allow_host": ("a", "b")}) == names


@pytest.mark.parametrize(
    ("key", "value", "plain"),
    [
        ("model", 'a "quoted" \\ name', 'a "quoted" \\ name'),
        ("date", datetime.date(2026, 1, 31), datetime.date(2026, 1, 31)),
        ("http_access_log", True, True),
        ("log_file", Path("/var/log/x.log"), "/var/log/x.log"),
        ("max_batch", 3, 3),
        ("allow_host", ("a.example", "b"), ["a.example", "b"]),
        ("allow_origin", (), []),
    ],
)
def test_every_kind_of_value_is_read_back(key: str, value: object, plain: object) -> None:
    for text in ("", "# only a comment", TEXT):
        assert tomllib.loads(edit_config(text, {key: value}))[key] == plain


def test_a_relative_path_does_not_move_with_the_file() -> None:
    found = tomllib.loads(edit_config("", {"log_file": Path("x.log")}))["log_file"]
    assert found == str(Path.cwd() / "x.log")


def test_a_broken_file_is_named_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("port = = 1\n")
    with pytest.raises(ConfigError, match="not valid TOML"):
        change_config_file(path, {"port": 1})
    assert path.read_text() == "port = = 1\n"


def test_the_file_is_private_and_a_link_stays_a_link(tmp_path: Path) -> None:
    real = tmp_path / "dotfiles" / "mlxoss.toml"
    real.parent.mkdir()
    real.write_text(TEXT)
    link = tmp_path / "mlxoss" / "config.toml"
    link.parent.mkdir()
    link.symlink_to(real)
    assert change_config_file(link, {"port": 1})
    assert link.is_symlink()
    assert tomllib.loads(real.read_text())["port"] == 1
    assert not change_config_file(link, {"port": 1})
    fresh = tmp_path / "new" / "config.toml"
    assert change_config_file(fresh, {"port": 1})
    assert stat.S_IMODE(fresh.stat().st_mode) == 0o600


def test_a_setting_is_found_by_key_and_by_flag() -> None:
    assert find_setting("max_batch") is find_setting("--max-batch") is find_setting("max-batch")
    with pytest.raises(ConfigError, match=r"no setting 'max_bach' \(did you mean 'max_batch'\?\)"):
        find_setting("max_bach")
