from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mlxoss.errors import ConfigError
from mlxoss.model_pins import Pin, read_pins, write_pin


def test_what_was_written_is_read(tmp_path: Path) -> None:
    file = tmp_path / "models.json"
    assert read_pins(file) == {}
    write_pin(file, "a/x", Pin("1" * 40, 100))
    write_pin(file, "b/y", Pin("2" * 40, 200))
    write_pin(file, "a/x", Pin("3" * 40, 300))
    assert read_pins(file) == {"a/x": Pin("3" * 40, 300), "b/y": Pin("2" * 40, 200)}


def test_writers_do_not_lose_each_others_pins(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from mlxoss.model_pins import Pin, write_pin\n"
        "for n in range(20): write_pin(Path(sys.argv[1]), f'{sys.argv[2]}/{n}', Pin('c', n))"
    )
    file = tmp_path / "models.json"
    writers = [
        subprocess.Popen([sys.executable, "-c", code, str(file), name]) for name in ("a", "b", "c")
    ]
    assert [writer.wait(120) for writer in writers] == [0, 0, 0]
    assert set(read_pins(file)) == {f"{name}/{n}" for name in "abc" for n in range(20)}


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"\xff",
        b"[]",
        b"{}",
        b'{"version": 2, "models": {}}',
        b'{"version": 1, "models": []}',
        b'{"version": 1, "models": {"a/x": {"commit": "c"}}}',
        b'{"version": 1, "models": {"a/x": "c"}}',
    ],
)
def test_a_damaged_record_is_named_and_not_overwritten(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "models.json"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"models\.json cannot be used"):
        read_pins(file)
    with pytest.raises(ConfigError, match=r"models\.json cannot be used"):
        write_pin(file, "a/x", Pin("c", 1))
    assert file.read_bytes() == content
