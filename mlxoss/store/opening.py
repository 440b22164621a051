"""Opening the store: lock, check, migrate, connect."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from mlxoss.errors import StoreError
from mlxoss.store.database import Database
from mlxoss.store.failures import store_errors
from mlxoss.store.file import (
    FileLock,
    connect_memory,
    connect_reader,
    connect_writer,
    prepare_file,
)
from mlxoss.store.migrations import MIGRATIONS
from mlxoss.store.store import Store
from mlxoss.store.values import Bounds


def open_store(path: Path | None, bounds: Bounds, clock: Callable[[], float]) -> Store:
    """Open the database at ``path``, made if it is not there; ``None`` keeps all in memory.

    Blocks while the file is checked (about a second for a gigabyte) and migrated. A
    folder that is made is its owner's alone (0700), as the files are always (0600).
    ``clock`` gives Unix seconds. Raises ``StoreError``, with what to do about it, if
    another process has the store, or if the file is damaged, newer, or not ours;
    such a file is left as it was. Then await :meth:`Store.fail_interrupted` and
    :meth:`Store.sweep` before serving.
    """
    if path is None:
        memory = Database("the response store in memory", connect_memory(MIGRATIONS, clock()))
        return Store(memory, None, bounds, clock)
    try:
        return _open_file(path, bounds, clock)
    except OSError as error:
        raise StoreError(f"{path} cannot be opened: {error}.") from error


def _open_file(path: Path, bounds: Bounds, clock: Callable[[], float]) -> Store:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with ExitStack() as undo, store_errors(str(path)):
        lock = FileLock(path)
        undo.callback(lock.release)
        prepare_file(path, MIGRATIONS, clock())
        writer = connect_writer(path)
        undo.callback(writer.close)
        reader = connect_reader(path)
        undo.pop_all()
    return Store(Database(str(path), writer, reader), lock, bounds, clock)
