"""The database file: whose it is, whether it is sound, and the ways to connect to it."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from mlxoss.errors import StoreDamaged, StoreRefused
from mlxoss.files import sync_folder
from mlxoss.store.aside import move_aside
from mlxoss.store.failures import damaged, store_errors
from mlxoss.store.migrations import APPLICATION_ID, Migration, migrate, taken_steps

_LOG = logging.getLogger(__name__)

_MAGIC = b"SQLite format 3\0"
_SMALLEST_BYTES = 512
"""SQLite's smallest page; it takes a shorter file for an empty one."""
_BUSY_S = 5.0
"""How long to wait for another program's look into the file (a shell, a backup)."""


def prepare_file(path: Path, migrations: Sequence[Migration], now: float) -> None:
    """Make ``path`` a sound database of ours with the newest schema, readable by its owner only.

    A damaged one is moved aside whole, and a new one made. One that is foreign or newer is
    refused with ``StoreRefused`` and left as it was, byte for byte. The lock is held.
    """
    if path.exists() and path.stat().st_size > 0:
        try:
            _inspect(path, migrations)
        except StoreDamaged as error:
            kept = move_aside(path, now)
            _LOG.error("%s It was moved to %s, and an empty store takes its place.", error, kept)
    if not path.exists() or path.stat().st_size == 0:
        _create(path, migrations, now)
        return
    path.chmod(0o600)
    with closing(connect_writer(path)) as connection:
        migrate(connection, migrations, now)


def connect_writer(path: Path) -> sqlite3.Connection:
    """The one connection that writes, in WAL mode.

    ``synchronous = FULL`` (with macOS's ``F_FULLFSYNC``): WAL alone survives the
    death of the process, but what a client was told is stored has to survive the
    power too, and one flush costs a fraction of a millisecond to some milliseconds
    against a generation's seconds.
    """
    connection = _connect(path.absolute().as_uri() + "?mode=rw")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA journal_size_limit = 4194304")
    connection.execute("PRAGMA fullfsync = ON")
    connection.execute("PRAGMA synchronous = FULL")
    return _with_rules(connection)


def connect_reader(path: Path) -> sqlite3.Connection:
    """A connection that cannot write."""
    return _connect(path.absolute().as_uri() + "?mode=ro")


def connect_memory(migrations: Sequence[Migration], now: float) -> sqlite3.Connection:
    """A database of the same schema that lives and dies with its connection."""
    connection = _connect("file::memory:")
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    migrate(connection, migrations, now)
    return _with_rules(connection)


def _connect(uri: str) -> sqlite3.Connection:
    return sqlite3.connect(
        uri, uri=True, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
    )


def _with_rules(connection: sqlite3.Connection) -> sqlite3.Connection:
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA secure_delete = FAST")
    return connection


def _create(path: Path, migrations: Sequence[Migration], now: float) -> None:
    """Build the database beside ``path`` and rename it, so that it is there whole or not at all.

    Companions of an earlier database that is gone are removed first: SQLite would
    play an old write-ahead log into the new file.
    """
    draft = path.with_name(path.name + ".new")
    for name in (draft.name, draft.name + "-journal", path.name + "-wal", path.name + "-shm"):
        path.with_name(name).unlink(missing_ok=True)
    os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    with closing(_connect(draft.absolute().as_uri() + "?mode=rw")) as connection:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        migrate(connection, migrations, now)
    draft.replace(path)
    sync_folder(path.parent)


def _inspect(path: Path, migrations: Sequence[Migration]) -> None:
    """Raise ``StoreDamaged`` unless ``path`` is sound, ``StoreRefused`` unless it is for us.

    That is, of this application and not newer than ``migrations``.
    """
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise damaged(str(path), "it is no SQLite database")
    if path.stat().st_size < _SMALLEST_BYTES:
        raise damaged(str(path), "it is cut off")
    wal = path.with_name(path.name + "-wal")
    # Without a log to read, `immutable` keeps SQLite from making files beside it.
    mode = "mode=ro" if wal.exists() and wal.stat().st_size else "immutable=1"
    with (
        store_errors(str(path)),
        closing(_connect(f"{path.absolute().as_uri()}?{mode}")) as connection,
    ):
        _refuse_unsound(connection, path, {migration.name for migration in migrations})


def _refuse_unsound(connection: sqlite3.Connection, path: Path, known: set[str]) -> None:
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    if application_id != APPLICATION_ID:
        raise StoreRefused(
            f"{path} is not a response store of mlxoss: its application id is "
            f"{application_id:#x}. Move it away, or give mlxoss another data folder."
        )
    taken = _try_taken_steps(connection)
    newer = [name for name in taken or () if name not in known]
    if newer:
        raise StoreRefused(
            f"{path} was written by a newer mlxoss (it has '{newer[-1]}'). Upgrade mlxoss, "
            "or move the file away to start with an empty store."
        )
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok" or taken is None:
        raise damaged(str(path), verdict.replace("\n", " "))


def _try_taken_steps(connection: sqlite3.Connection) -> list[str] | None:
    """The steps it says it took; ``None`` where it is too damaged to say."""
    try:
        return taken_steps(connection)
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in (
            sqlite3.SQLITE_BUSY,
            sqlite3.SQLITE_IOERR,
        ):
            raise
        return None
