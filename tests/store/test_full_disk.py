"""No room: the write fails, nothing else does, and the store works on."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mlxoss.errors import StoreError, StoreFull
from mlxoss.store.database import Database
from mlxoss.store.file import connect_reader, connect_writer, prepare_file
from mlxoss.store.migrations import MIGRATIONS
from mlxoss.store.store import Store
from mlxoss.store.values import Bounds, Event, Status, StoredTurn
from tests.support.clock import Clock
from tests.support.store.samples import assert_sound, sample

ROOT = Path(__file__).parents[2]
TEXT = "text " * 2_000
NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount"]


def fill_in_a_process(path: Path, how: str, prefix: list[str]) -> str:
    """What ``tests.support.store.filler`` reports."""
    done = subprocess.run(
        [*prefix, sys.executable, "-m", "tests.support.store.filler", str(path), how],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_file_that_may_grow_no_more_fails_the_write_only(tmp_path: Path) -> None:
    path = tmp_path / "responses.db"
    assert "after" in fill_in_a_process(path, "limit", [])
    assert_sound(path)


def can_mount(folder: Path) -> bool:
    if shutil.which("unshare") is None:
        return False
    mount = ["mount", "-t", "tmpfs", "tmpfs", str(folder)]
    return subprocess.run([*NAMESPACE, *mount], capture_output=True, check=False).returncode == 0


def test_a_full_disk_fails_the_write_only(tmp_path: Path) -> None:
    if not can_mount(tmp_path):
        pytest.skip("a small disk cannot be mounted here")
    assert "StoreFull after" in fill_in_a_process(tmp_path / "responses.db", "mount", NAMESPACE)


def test_a_full_database_refuses_each_kind_of_write_and_reads_on(tmp_path: Path) -> None:
    path = tmp_path / "responses.db"
    prepare_file(path, MIGRATIONS, 0.0)
    connection = connect_writer(path)

    async def scenario() -> None:
        store = Store(
            Database(str(path), connection, connect_reader(path)), None, Bounds(), Clock()
        )
        await store.put(sample("a", text=TEXT))
        running = sample("r", status=Status.IN_PROGRESS)
        await store.put(running)
        used = (await store.stats()).bytes // 4096
        assert connection.execute(f"PRAGMA max_page_count = {used}").fetchone() == (used,)
        with pytest.raises(StoreFull, match=str(path)):
            await store.put(sample("b", text=TEXT))
        with pytest.raises(StoreFull):
            await store.update(sample("r", text=TEXT))
        with pytest.raises(StoreFull):
            await store.append_events("resp_r", [Event(0, TEXT)])
        with pytest.raises(StoreFull):
            await store.remember_turn(StoredTurn(tuple(range(0, 100_000, 7)), call_ids=("call",)))
        assert await store.get("resp_a") == sample("a", text=TEXT)
        assert await store.get("resp_r") == running
        assert (await store.read_events("resp_r")).events == ()
        assert await store.turns_of_calls(["call"]) == {}
        await store.delete("resp_a")
        await store.put(sample("b"))
        assert await store.get("resp_b") == sample("b")
        await store.close()

    asyncio.run(scenario())
    assert_sound(path)


def test_a_broken_write_is_told_as_an_error_of_the_store(tmp_path: Path) -> None:
    path = tmp_path / "responses.db"
    prepare_file(path, MIGRATIONS, 0.0)

    async def scenario() -> None:
        # A writer that cannot write: as on a disk that has become read-only.
        store = Store(Database(str(path), connect_reader(path)), None, Bounds(), Clock())
        with pytest.raises(StoreError, match="readonly"):
            await store.put(sample("a"))
        assert (await store.stats()).responses == 0
        await store.close()

    asyncio.run(scenario())
