from __future__ import annotations

import datetime
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlxoss.errors import ConfigError
from mlxoss.service.logtail import (
    cut,
    follow,
    last_lines,
    parse_since,
    read_lines,
    rotated,
    since,
)
from mlxoss.service.supervisor import Polling

PACE = Polling(poll_s=0.0)
NOW = datetime.datetime(2026, 11, 22, 12, 0, tzinfo=datetime.UTC)


def batch(lines: Iterator[str]) -> list[str]:
    """What comes until nothing more does."""
    found: list[str] = []
    while line := next(lines):
        found.append(line)
    return found


def test_turned_over_files_are_read_oldest_first(tmp_path: Path) -> None:
    for name, text in (("m.log.10", "1"), ("m.log.2", "2"), ("m.log", "3\n4"), ("m.log.bak", "x")):
        (tmp_path / name).write_text(text)
    files = rotated(tmp_path / "m.log")
    assert list(read_lines(files)) == ["1", "2", "3", "4"]
    assert last_lines(read_lines([*files, tmp_path / "gone"]), 2) == ["3", "4"]
    assert rotated(tmp_path / "other.log") == []


def test_lines_without_a_time_go_with_the_one_before() -> None:
    lines = ["old", "2026-11-22T11:00:00.1Z a", "  trace", "2026-11-22T11:50:00.1Z b", "  trace"]
    assert list(since(lines, parse_since("30m", NOW))) == lines[3:]
    assert list(since(lines, parse_since("1d", NOW))) == lines[1:]
    assert list(since(lines, parse_since("5s", NOW))) == []


@pytest.mark.parametrize(
    ("text", "stamp"),
    [
        ("90s", "2026-11-22T11:58:30"),
        ("2h", "2026-11-22T10:00:00"),
        ("2026-11-22T10:30+01:00", "2026-11-22T09:30:00"),
    ],
)
def test_moments(text: str, stamp: str) -> None:
    assert parse_since(text, NOW) == stamp


@pytest.mark.parametrize("text", ["", "soon", "10", "m", "2026-13-01"])
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(ConfigError, match="--since must be like"):
        parse_since(text, NOW)


def test_following_survives_turning_over_and_cutting(tmp_path: Path) -> None:
    path = tmp_path / "m.log"
    lines = follow(path, PACE)
    assert batch(lines) == []
    path.write_text("1\n2\nhal")
    assert batch(lines) == ["1", "2"]
    with path.open("a") as file:
        file.write("f\n")
    assert batch(lines) == ["half"]
    path.rename(tmp_path / "m.log.1")
    path.write_text("a longer line in the new file\n")
    assert batch(lines) == ["a longer line in the new file"]
    os.truncate(path, 0)
    assert batch(lines) == []
    with path.open("a") as file:
        file.write("after\n")
    assert batch(lines) == ["after"]


def test_following_starts_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "m.log"
    path.write_text("before\n")
    lines = follow(path, PACE)
    assert batch(lines) == []
    with path.open("a") as file:
        file.write("now\n")
    assert batch(lines) == ["now"]


def test_a_log_is_cut_in_place_under_its_writer(tmp_path: Path) -> None:
    path = tmp_path / "launchd.log"
    assert not cut(path)
    with path.open("a") as writer:
        writer.write("".join(f"line {number}\n" for number in range(1000)))
        writer.flush()
        assert not cut(path, most_bytes=10_000, keep_bytes=100)
        assert cut(path, most_bytes=1_000, keep_bytes=100)
        writer.write("after\n")
    assert path.read_text() == "after\n"
    kept = (tmp_path / "launchd.log.1").read_text().splitlines()
    assert kept[-1] == "line 999"
    assert all(line.startswith("line ") for line in kept)
    assert len(kept) < 12
