"""Files that are not what they should be, and disks that take none: nothing is harmed by either."""

from __future__ import annotations

import os
import resource
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from mlxoss.engine.prefix_cache.disk_files import MAX_AGE_S, Link, wipe, write_link
from tests.support.engine.harness import make_request
from tests.support.engine.place import Place, two_turns
from tests.support.engine.prefixes import check_cold, run_one, text

pytestmark = pytest.mark.slow


def the_only(place: Place) -> Path:
    (file,) = place.files()
    return file


def truncate(place: Place) -> None:
    file = the_only(place)
    os.truncate(file, file.stat().st_size - 1)


def empty(place: Place) -> None:
    os.truncate(the_only(place), 0)


def rewrite(place: Place, change: Callable[[bytearray], object]) -> None:
    content = bytearray(the_only(place).read_bytes())
    change(content)
    the_only(place).write_bytes(content)


def flip_a_bit(place: Place) -> None:
    def change(content: bytearray) -> None:
        content[-1000] ^= 1

    rewrite(place, change)


def ask_for_much(place: Place) -> None:
    """A header longer than the memory of any machine."""

    def change(content: bytearray) -> None:
        content[:8] = b"\xff" * 8

    rewrite(place, change)


def rebuild_file(place: Place, change: Callable[[dict[str, Any]], object]) -> None:
    """Other arrays with the file's own checksum."""
    file = the_only(place)
    with safe_open(file, framework="numpy") as opened:
        metadata = opened.metadata()
    arrays = load_file(file)
    change(arrays)
    save_file(arrays, file, metadata=metadata)


def other_tokens(place: Place) -> None:
    """A whole file, checksum and all, under the name of another prompt's."""
    file = the_only(place)
    arrays = load_file(file)
    arrays["tokens"][7] += 1
    key, length, parent = file.stem.split("-")
    write_link(place.folder, Link(key, int(length), parent), arrays)


def other_type(place: Place) -> None:
    rebuild_file(place, lambda arrays: arrays.update(tokens=arrays["tokens"].astype(np.float32)))


def other_shape(place: Place) -> None:
    rebuild_file(place, lambda arrays: arrays.update(tokens=arrays["tokens"][:-1]))


def one_less(place: Place) -> None:
    rebuild_file(place, lambda arrays: arrays.pop("window.0"))


def no_checksum(place: Place) -> None:
    save_file(load_file(the_only(place)), the_only(place))


def become_a_link(place: Place) -> None:
    file = the_only(place)
    file.rename(place.folder.parent / "elsewhere")
    file.symlink_to(place.folder.parent / "elsewhere")


def become_a_pipe(place: Place) -> None:
    the_only(place).unlink()
    os.mkfifo(place.folder / f"{'a' * 32}-300-0.safetensors")


def grow_old(place: Place) -> None:
    at = time.time() - MAX_AGE_S - 1
    os.utime(the_only(place), (at, at))


def lose_the_parent(place: Place) -> None:
    file = the_only(place)
    file.rename(place.folder / file.name.replace("-0.", f"-{'b' * 32}."))


def be_its_own_parent(place: Place) -> None:
    file = the_only(place)
    file.rename(place.folder / file.name.replace("-0.", f"-{file.name[:32]}."))


@pytest.mark.parametrize(
    "damage",
    [
        truncate,
        empty,
        flip_a_bit,
        ask_for_much,
        other_tokens,
        other_type,
        other_shape,
        one_less,
        no_checksum,
        become_a_link,
        become_a_pipe,
        grow_old,
        lose_the_parent,
        be_its_own_parent,
    ],
)
def test_a_damaged_file_is_not_used_and_goes(place: Place, damage: Callable[[Place], None]) -> None:
    request = make_request(text(400), 6)
    place.answer(make_request(text(400), 1))
    damage(place)
    assert place.answer(request) == [0]
    # Written anew in its place.
    assert place.answer(request) == [399]


def test_a_damaged_link_takes_those_with_it_that_go_on_from_it(place: Place) -> None:
    first, second = two_turns()
    place.answer(first, second)
    root = next(file for file in place.files() if file.name.endswith("-0.safetensors"))
    os.truncate(root, 100)
    backend = place.backend()
    cached, ids = run_one(backend, second)
    assert cached == 0
    check_cold(place.model, second, ids)
    place.end(backend)


def test_files_that_are_not_ours_are_removed(place: Place) -> None:
    place.answer(make_request(text(400), 6))
    ours = place.files()
    for name in ("notes.txt", f"{ours[0].name}.part", ".tmpabc", "0-0-0.safetensors"):
        (place.folder / name).write_bytes(b"x" * 100)
    (place.folder / "kept").mkdir()
    place.tier().close((), time.monotonic() + 10)
    assert place.files() == [*ours, place.folder / "kept"]
    assert wipe(place.folder) > 0
    assert place.files() == [place.folder / "kept"]
    assert wipe(place.folder / "none") == 0


@contextmanager
def full_disk() -> Iterator[None]:
    """No file may grow beyond some bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_told_of_once_and_lived_with(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    kept = make_request(text(400), 6)
    place.answer(kept)
    before = place.files()
    with full_disk():
        assert place.answer(*(make_request(text(400, seed), 2) for seed in (1, 2, 3))) == [0, 0, 0]
    assert place.files() == before
    assert sum("no more snapshots" in record.message for record in caplog.records) == 1
    assert place.answer(kept) == [399]


def test_a_folder_that_goes_away(place: Place) -> None:
    first, second = two_turns()
    place.answer(first)
    backend = place.backend()
    shutil.rmtree(place.folder)
    cached, ids = run_one(backend, second)
    assert cached == 0
    check_cold(place.model, second, ids)
    backend.close()
    assert not place.folder.exists()
