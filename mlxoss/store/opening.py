"""Opening the store: lock, check, migrate, connect."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from mlxoss.errors import StoreError
from mlxoss.store.aside import aside_problem
from mlxoss.store.calendar import steady_s
from mlxoss.store.database import Database
from mlxoss.store.failures import store_errors
from mlxoss.store.file import (
    connect_memory,
    connect_reader,
    connect_writer,
    prepare_file,
)
from mlxoss.store.lock import FileLock
from mlxoss.store.migrations import MIGRATIONS
from mlxoss.store.store import Store
from mlxoss.store.values import Bounds


def open_store(
    path: Path,
    bounds: Bounds,
    clock: Callable[[], float],
    steady: Callable[[], float] = steady_s,
) -> Store:
    """Open the database at ``path``, made if it is not there.

    Blocks while the file is checked (about a second for a gigabyte) and migrated. A
    folder that is made is its owner's alone (0700), as the files are always (0600).
    ``clock`` gives Unix seconds, ``steady`` seconds that nobody sets. A damaged file is
    moved aside. Raises ``StoreRefused``, with what to do about it, if the file is newer or
    not ours (it is left as it was), and another ``StoreError`` if it cannot be used now:
    another process has it, the folder cannot be written. Then await
    :meth:`Store.fail_interrupted` and :meth:`Store.sweep` before serving.
    """
    try:
        database, lock = _open_file(path, clock)
    except OSError as error:
        raise StoreError(f"{path} cannot be opened: {error.strerror or error}.") from error
    return Store(database, lock, bounds, clock, aside_problem(path), steady)


def open_memory_store(
    bounds: Bounds,
    clock: Callable[[], float],
    steady: Callable[[], float] = steady_s,
    *,
    stands_in: bool = False,
) -> Store:
    """A store that ends with the process; ``stands_in`` as in :class:`Database`."""
    connection = connect_memory(MIGRATIONS, clock())
    memory = Database("the response store in memory", connection, stands_in=stands_in)
    return Store(memory, None, bounds, clock, None, steady)


def _open_file(path: Path, clock: Callable[[], float]) -> tuple[Database, FileLock]:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with ExitStack() as undo, store_errors(str(path)):
        lock = FileLock(path)
        undo.callback(lock.release)
        prepare_file(path, MIGRATIONS, clock())
        writer = connect_writer(path)
        undo.callback(writer.close)
        reader = connect_reader(path)
        undo.pop_all()
    return Database(str(path), writer, reader, clock=clock), lock
