from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from mlxoss.errors import ServiceError
from mlxoss.service.files import locked, write_if_changed
from mlxoss.service.supervisor import Pace


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
    lock, pace = tmp_path / "data" / "lock", Pace(poll_s=0.01)
    with locked(lock, pace):
        assert lock.stat().st_mode & 0o777 == 0o600
        with (
            pytest.raises(ServiceError, match="another mlxoss command"),
            locked(lock, pace, limit_s=0.05),
        ):
            pass
        entered = threading.Event()

        def enter() -> None:
            with locked(lock, pace):
                entered.set()

        waiting = threading.Thread(target=enter)
        waiting.start()
    waiting.join()
    assert entered.is_set()
