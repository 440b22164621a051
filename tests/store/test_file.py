"""The file itself: its modes, its owner, its schema, and what is refused untouched."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from mlxoss.errors import StoreError, StoreRefused
from mlxoss.store.file import connect_writer, prepare_file
from mlxoss.store.migrations import APPLICATION_ID, MIGRATIONS, Migration, taken_steps
from mlxoss.store.opening import open_store
from mlxoss.store.values import Bounds
from mlxoss.store.wiping import wipe
from tests.support.store.samples import assert_sound, opened, sample

ROOT = Path(__file__).parents[2]


def fill(path: Path, count: int = 40) -> None:
    async def scenario() -> None:
        async with opened(path) as store:
            for n in range(count):
                await store.put(sample(f"{n}", text="text " * 400))

    asyncio.run(scenario())


def schema(path: Path) -> list[tuple[str, str, str]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY 2").fetchall()


def contents(folder: Path) -> dict[str, bytes]:
    """Every file's bytes, but of the lock and of SQLite's shared memory, which hold no data."""
    return {
        file.name: file.read_bytes()
        for file in folder.iterdir()
        if not file.name.endswith((".lock", "-shm"))
    }


def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "data" / "mlxoss" / "responses.db"

    async def scenario() -> None:
        async with opened(path) as store:
            await store.put(sample("a"))
            names = {file.name for file in path.parent.iterdir()}
            assert names == {"responses.db" + end for end in ("", "-wal", "-shm", ".lock")}
            for file in path.parent.iterdir():
                assert file.stat().st_mode & 0o777 == 0o600, file
            assert path.parent.stat().st_mode & 0o777 == 0o700

    umask = os.umask(0)
    try:
        asyncio.run(scenario())
        path.chmod(0o644)
        asyncio.run(scenario_again(path))
    finally:
        os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o600


async def scenario_again(path: Path) -> None:
    async with opened(path) as store:
        await store.put(sample("b"))
        for file in path.parent.iterdir():
            assert file.stat().st_mode & 0o777 == 0o600, file


def test_a_second_process_is_told_who_has_the_store(tmp_path: Path) -> None:
    path = tmp_path / "responses.db"
    writer = subprocess.Popen(
        [sys.executable, "-m", "tests.support.store.writer", str(path), "1000"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    with writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready 0\n"
        assert writer.stdout.readline() != ""
        with pytest.raises(StoreError, match=f"in use by another mlxoss .process {writer.pid}."):
            open_store(path, Bounds(), time.time)
        assert writer.poll() is None
        writer.kill()
    fill(path)
    assert_sound(path)


def test_two_stores_of_one_process_exclude_each_other_too(tmp_path: Path) -> None:
    path = tmp_path / "responses.db"

    async def scenario() -> None:
        async with opened(path):
            with pytest.raises(StoreError, match="in use"):
                open_store(path, Bounds(), time.time)
        async with opened(path):
            pass

    asyncio.run(scenario())


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    path = tmp_path / "file" / "responses.db"
    with pytest.raises(StoreError, match="cannot be opened"):
        open_store(path, Bounds(), time.time)


def overwrite(at: int, data: bytes) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        with path.open("r+b") as file:
            file.seek(at)
            file.write(data)

    return damage


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def cut_in_header(path: Path) -> None:
    os.truncate(path, 50)


def add_newer_step(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO migrations VALUES ('900_from_the_future', 1.0)")


def make_foreign(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE notes (text)")


def forget_steps(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP TABLE migrations")


def make_text(path: Path) -> None:
    path.write_text("These are my notes.\n")


DAMAGE = [
    overwrite(4096 * 3, b"\xff" * 4096 * 5),
    overwrite(4096, b"\0" * 4096 * 2),
    overwrite(105, b"\xff" * 20),
    truncate,
    cut_in_header,
    overwrite(0, b"\0" * 16),
    make_text,
    forget_steps,
]


@pytest.mark.parametrize("spoil", DAMAGE)
def test_a_damaged_file_is_moved_aside_whole_and_a_new_one_made(
    tmp_path: Path, spoil: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "responses.db"
    fill(path)
    spoil(path)
    before = path.read_bytes()
    fill(path, count=3)
    assert_sound(path)
    aside = path.with_name("responses.db.damaged-1970-01-12T134640Z")
    assert aside.read_bytes() == before
    (said,) = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert f"{path} is damaged" in said
    assert str(aside) in said
    _look_again(path, aside)
    assert wipe(path) >= len(before)
    assert not list(tmp_path.glob("responses.db*[!k]"))


def _look_again(path: Path, aside: Path) -> None:
    """The owner is told for as long as it is there; a second one gets a name of its own."""

    async def scenario() -> None:
        async with opened(path) as store:
            assert (await store.stats()).responses == 3
            (problem,) = store.problems()
            assert problem.code == "store_moved_aside"
            assert str(aside) in problem.message
            assert "recover" in problem.remedy

    asyncio.run(scenario())
    truncate(path)
    fill(path, count=1)
    assert aside.with_name(aside.name + "-2").exists()


def test_a_damaged_file_is_moved_aside_with_its_log(tmp_path: Path) -> None:
    path = tmp_path / "responses.db"
    fill(path)
    path.with_name("responses.db-wal").write_bytes(log := log_of_a_dead_process(tmp_path))
    overwrite(0, b"\0" * 16)(path)
    fill(path, count=1)
    (aside,) = tmp_path.glob("responses.db.damaged-*-wal")
    assert aside.read_bytes() == log


REFUSED = [
    (make_foreign, "is not a response store"),
    (add_newer_step, "newer mlxoss .it has '900_from_the_future'.. Upgrade mlxoss"),
]


@pytest.mark.parametrize(("spoil", "why"), REFUSED)
def test_a_file_that_is_not_to_be_touched_is_refused_as_it_was(
    tmp_path: Path, spoil: Callable[[Path], None], why: str
) -> None:
    path = tmp_path / "responses.db"
    fill(path)
    spoil(path)
    before = contents(tmp_path)
    for _ in range(2):
        with pytest.raises(StoreRefused, match=why) as error:
            open_store(path, Bounds(), time.time)
        assert str(path) in str(error.value)
        assert "ove it" in str(error.value) or "move the file" in str(error.value)
        assert contents(tmp_path) == before
    assert not path.with_name("responses.db-shm").exists()


def test_a_newer_file_with_a_log_of_a_dead_process_is_refused_as_it_was(tmp_path: Path) -> None:
    """The newer step is only in the write-ahead log, which a look must not fold into the file."""
    path = tmp_path / "responses.db"
    fill(path)
    script = (
        "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1]); "
        "c.execute(\"INSERT INTO migrations VALUES ('900_x', 1.0)\"); c.commit(); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=True)
    before = contents(tmp_path)
    assert len(before["responses.db-wal"]) > 0
    with pytest.raises(StoreError, match="newer mlxoss"):
        open_store(path, Bounds(), time.time)
    assert contents(tmp_path) == before


def test_damage_that_shows_later_fails_the_operation_and_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "responses.db"

    async def scenario() -> None:
        async with opened(path) as store:
            for n in range(200):
                await store.put(sample(f"{n}", text="text " * 2000))
            await store.sweep()
            size = path.stat().st_size
            overwrite(4096 * 20, b"\xff" * (size - 4096 * 30))(path)
            reads = [store.get(f"resp_{n}") for n in range(200)]
            answers = await asyncio.gather(*reads, return_exceptions=True)
            errors = [answer for answer in answers if isinstance(answer, BaseException)]
            assert errors
            for error in errors:
                assert isinstance(error, StoreError)
                assert str(path) in str(error)

    asyncio.run(scenario())


@pytest.mark.parametrize("steps", range(len(MIGRATIONS) + 1))
def test_a_file_of_each_earlier_version_is_brought_up_to_date(tmp_path: Path, steps: int) -> None:
    fresh, path = tmp_path / "fresh.db", tmp_path / "responses.db"
    fill(fresh, count=1)
    prepare_file(path, MIGRATIONS[:steps], 0.0)
    fill(path)
    assert schema(path) == schema(fresh)
    with closing(sqlite3.connect(path)) as connection:
        assert taken_steps(connection) == [migration.name for migration in MIGRATIONS]
        assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        assert connection.execute("PRAGMA auto_vacuum").fetchone() == (2,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert_sound(path)


def log_of_a_dead_process(folder: Path) -> bytes:
    """The write-ahead log as a process that died left it, with responses in it."""

    async def scenario() -> bytes:
        async with opened(folder / "dead.db") as store:
            for n in range(900, 940):
                await store.put(sample(f"{n}"))
            return (folder / "dead.db-wal").read_bytes()

    return asyncio.run(scenario())


@pytest.mark.parametrize("start", [b"", None])
def test_an_empty_file_becomes_a_store(tmp_path: Path, start: bytes | None) -> None:
    """Also with what an earlier store that was removed, or a death while creating, left behind."""
    path = tmp_path / "responses.db"
    if start is not None:
        path.write_bytes(start)
    log = log_of_a_dead_process(tmp_path)
    for leftover in ("-wal", "-shm", ".new", ".new-journal"):
        path.with_name(path.name + leftover).write_bytes(log)
    fill(path)
    with closing(sqlite3.connect(path)) as connection:
        found = {response_id for (response_id,) in connection.execute("SELECT id FROM responses")}
    assert found == {f"resp_{n}" for n in range(40)}
    assert_sound(path)


def test_a_step_that_fails_leaves_nothing_of_itself(tmp_path: Path) -> None:
    path = tmp_path / "responses.db"
    fill(path)
    before = schema(path)
    good = Migration("800_good", ("ALTER TABLE responses ADD COLUMN extra TEXT",))
    bad = Migration("801_bad", ("CREATE TABLE extra (x)", "INSERT INTO nowhere VALUES (1)"))
    with pytest.raises(sqlite3.OperationalError):
        prepare_file(path, (*MIGRATIONS, good, bad), 0.0)
    assert schema(path) == before
    prepare_file(path, (*MIGRATIONS, good), 0.0)
    with closing(connect_writer(path)) as connection:
        count = connection.execute("SELECT count(*) FROM responses WHERE extra IS NULL").fetchone()
        assert count == (40,)
    with pytest.raises(StoreError, match="800_good"):
        open_store(path, Bounds(), time.time)


def test_steps_have_names_of_their_own() -> None:
    names = [migration.name for migration in MIGRATIONS]
    assert names == sorted(set(names))
