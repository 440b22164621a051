"""A container's folder as the daemon makes, measures and removes it, whatever stands in its place.

On macOS a cell may make links; that none is followed is judged here on any system.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from mlxoss.hosted.python import folder
from mlxoss.hosted.python.place import WorkerPlace


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """What belongs to the user."""
    made = tmp_path / "home"
    (made / "kept").mkdir(parents=True)
    (made / "kept" / "file").write_text("kept")
    made.chmod(0o755)
    return made


@pytest.fixture
def own(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root" / "own"


def is_untouched(home: Path) -> bool:
    listed = [path.relative_to(home) for path in home.rglob("*")]
    return (
        sorted(listed) == [Path("kept"), Path("kept/file")] and home.stat().st_mode & 0o777 == 0o755
    )


def test_a_link_in_its_place_is_removed_and_not_followed(own: Path, home: Path) -> None:
    own.symlink_to(home)
    assert folder.measure(own, 1000).is_hidden
    folder.remove(own)
    assert not own.is_symlink()
    assert is_untouched(home)


@pytest.mark.parametrize("name", ["", "data", "tmp"])
@pytest.mark.parametrize("target", ["home", "nowhere"])
def test_nothing_is_made_behind_a_link(own: Path, home: Path, name: str, target: str) -> None:
    place = WorkerPlace(own, own.parent / "outside")
    if name:
        own.mkdir()
    (own / name).symlink_to(home.with_name(target))
    place.make()
    for each in (place.folder, place.data, place.temporary):
        assert each.is_dir()
        assert not each.is_symlink()
    assert is_untouched(home)
    assert not home.with_name("nowhere").exists()


def test_a_file_in_its_place_goes(own: Path) -> None:
    place = WorkerPlace(own, own.parent / "outside")
    own.mkdir()
    place.data.write_text("x")
    place.temporary.mkdir(mode=0)
    place.make()
    assert place.data.is_dir()
    assert place.temporary.stat().st_mode & 0o777 == 0o700


def test_links_inside_are_removed_and_not_followed(own: Path, home: Path) -> None:
    (own / "data").mkdir(parents=True)
    (own / "data" / "link").symlink_to(home)
    (own / "link").symlink_to(home / "kept" / "file")
    assert folder.measure(own, 1000).count == 3
    folder.remove(own)
    assert not own.exists()
    assert is_untouched(home)


def test_what_is_not_there_is_removed(own: Path) -> None:
    folder.remove(own)
    own.write_text("x")
    folder.remove(own)
    assert not own.exists()


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has no such call")
def test_space_behind_the_end_of_a_file_counts(own: Path) -> None:
    own.mkdir()
    with (own / "file").open("wb") as file:
        libc_takes(file.fileno(), 8 << 20)
    if os.stat(own / "file").st_blocks < 16_000:
        pytest.skip("this file system takes none")
    assert folder.measure(own, 1000).bytes >= 4 << 20


def libc_takes(descriptor: int, size: int) -> None:
    """``fallocate`` with FALLOC_FL_KEEP_SIZE."""
    import ctypes

    longs = (ctypes.c_int64(0), ctypes.c_int64(size))
    ctypes.CDLL(None).fallocate(descriptor, 1, *longs)


@pytest.mark.skipif(sys.platform != "darwin", reason="only there a file may refuse to be removed")
def test_files_that_refuse_to_be_removed_are(own: Path) -> None:
    (own / "data").mkdir(parents=True)
    (own / "data" / "file").write_text("x")
    if sys.platform == "darwin":
        for each in (own / "data" / "file", own / "data", own):
            os.chflags(each, 2)  # UF_IMMUTABLE
    folder.remove(own)
    assert not own.exists()
