from __future__ import annotations

import json
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mlxoss.api_key_file import (
    KEYS_FILE,
    TOKEN_FILE,
    USES_FILE,
    create_key,
    hash_token,
    make_local_token,
    read_keys,
    read_local_token,
    read_uses,
    revoke_key,
    write_uses,
)
from mlxoss.errors import ConfigError, MlxossError, StoreError


def test_a_key_is_made_kept_as_a_hash_and_revoked(tmp_path: Path) -> None:
    assert read_keys(tmp_path) == ()
    token = create_key(tmp_path, "laptop", 1000.5)
    assert token.startswith("mlx-")
    assert len(token) == 47
    [key] = read_keys(tmp_path)
    assert (key.name, key.hash, key.created_at) == ("laptop", hash_token(token), 1000.5)
    assert token[4:] not in (tmp_path / KEYS_FILE).read_text()
    assert create_key(tmp_path, "phone", 2000) != token
    assert revoke_key(tmp_path, "laptop") == 1
    assert [key.name for key in read_keys(tmp_path)] == ["phone"]
    assert revoke_key(tmp_path, "phone") == 0
    assert read_keys(tmp_path) == ()


def test_names_that_are_none_or_taken(tmp_path: Path) -> None:
    create_key(tmp_path, "my laptop", 0)
    for name in ("", " ", "a\nb", "x" * 65, "my laptop"):
        with pytest.raises(ConfigError):
            create_key(tmp_path, name, 0)
    with pytest.raises(MlxossError, match="no key 'other'"):
        revoke_key(tmp_path, "other")
    assert len(read_keys(tmp_path)) == 1


def test_every_file_is_its_owner_s_alone(tmp_path: Path) -> None:
    create_key(tmp_path, "a", 0)
    make_local_token(tmp_path)
    write_uses(tmp_path, {"x": 1.0})
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}
    assert {path.name for path in tmp_path.iterdir()} == {
        KEYS_FILE,
        USES_FILE,
        TOKEN_FILE,
        "keys.lock",
    }


@pytest.mark.parametrize("content", ["", "{", "[]", '{"keys": [{}]}', '{"keys": 3}', "\udcff"])
def test_a_damaged_file_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / KEYS_FILE).write_text(content, "utf-8", "surrogateescape")
    with pytest.raises(StoreError, match=KEYS_FILE):
        read_keys(tmp_path)
    with pytest.raises(StoreError, match="damaged"):
        create_key(tmp_path, "a", 0)
    assert (tmp_path / KEYS_FILE).read_text("utf-8", "surrogateescape") == content


def test_uses_are_merged_and_a_damaged_file_of_them_is_begun_anew(tmp_path: Path) -> None:
    write_uses(tmp_path, {"a": 5.0})
    write_uses(tmp_path, {"a": 3.0, "b": 4.0})
    assert read_uses(tmp_path) == {"a": 5.0, "b": 4.0}
    for content in ("{", "[1]", '{"a": "x"}', '{"a": null}'):
        (tmp_path / USES_FILE).write_text(content)
        assert read_uses(tmp_path) == {}
    write_uses(tmp_path, {"b": 9.0})
    assert json.loads((tmp_path / USES_FILE).read_text()) == {"b": 9.0}


def test_a_local_token_is_new_each_time(tmp_path: Path) -> None:
    assert read_local_token(tmp_path) is None
    make_local_token(tmp_path)
    first = read_local_token(tmp_path)
    make_local_token(tmp_path)
    assert first is not None
    assert read_local_token(tmp_path) not in (None, first)


MAKE = """
import sys
from pathlib import Path
from mlxoss.api_key_file import create_key, write_uses
folder, name = Path(sys.argv[1]), sys.argv[2]
for number in range(20):
    create_key(folder, f"{name}-{number}", 0)
    write_uses(folder, {name: float(number)})
"""


def test_processes_at_once_lose_no_key(tmp_path: Path) -> None:
    def run(name: str) -> int:
        command = [sys.executable, "-c", MAKE, str(tmp_path), name]
        return subprocess.run(command, check=False).returncode

    with ThreadPoolExecutor() as pool:
        assert list(pool.map(run, "abc")) == [0, 0, 0]
    names = {key.name for key in read_keys(tmp_path)}
    assert names == {f"{name}-{number}" for name in "abc" for number in range(20)}
