from __future__ import annotations

import os
import resource
import signal
import stat
import threading
from pathlib import Path

import pytest

from mlxoss.files import locked, make_file, replace_file, stamp, take_lock, write_if_changed


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_a_file_is_written_only_when_something_differs(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file"
    old = os.umask(0o002)
    try:
        assert write_if_changed(path, b"1", mode=0o644)
    finally:
        os.umask(old)
    assert mode(path) == 0o644
    before = path.stat().st_ino
    assert not write_if_changed(path, b"1", mode=0o644)
    assert path.stat().st_ino == before
    path.chmod(0o666)
    assert write_if_changed(path, b"1", mode=0o644)
    assert mode(path) == 0o644
    assert write_if_changed(path, b"2", mode=0o644)
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]


def test_a_link_is_replaced_by_a_file(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"1")
    path = tmp_path / "file"
    path.symlink_to(tmp_path / "target")
    assert write_if_changed(path, b"1", mode=0o644)
    assert not path.is_symlink()


def test_a_second_holder_waits_and_then_gives_up(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with locked(lock):
        assert lock.stat().st_mode & 0o777 == 0o600
        with pytest.raises(BlockingIOError):
            take_lock(lock, limit_s=0.05)
        entered = threading.Event()

        def enter() -> None:
            with locked(lock):
                entered.set()

        waiting = threading.Thread(target=enter)
        waiting.start()
    waiting.join()
    assert entered.is_set()


def test_of_two_makers_the_first_ones_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "key"
    assert make_file(path, b"1")
    assert not make_file(path, b"2")
    assert path.read_bytes() == b"1"
    assert mode(path) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["key"]


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    replace_file(path, b"old")
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with pytest.raises(OSError, match="too large"):
            replace_file(path, b"new")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        signal.signal(signal.SIGXFSZ, before)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_stamp_tells_a_file_from_the_one_that_replaced_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert stamp(path) is None
    replace_file(path, b"1")
    first = stamp(path)
    assert stamp(path) == first
    replace_file(path, b"2")
    assert stamp(path) not in (None, first)
