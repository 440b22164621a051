"""From SQLite's errors to the one exception tree."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from mlxoss.errors import InvalidRequest, StoreDamaged, StoreError, StoreFull
from mlxoss.findings import DaemonProblem

_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_LOCKED = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})


def damaged(place: str, why: str) -> StoreDamaged:
    """The error of a database that is broken or half there."""
    return StoreDamaged(f"{place} is damaged ({why}).")


def to_problem(error: StoreError, since: float) -> DaemonProblem:
    """What the owner is told of operations that fail since then, for the disk's reasons."""
    code = _code(error.__cause__)
    if isinstance(error, StoreFull):
        name, remedy = "store_full", "Make room on the disk; nothing needs to be restarted."
    elif isinstance(error, StoreDamaged):
        name = "store_damaged"
        remedy = "`mlxoss restart` moves the database aside and makes a new one."
    elif code in _LOCKED:
        name, remedy = "store_locked", "End the program that holds it (`lsof FILE` names it)."
    elif code == sqlite3.SQLITE_READONLY:
        name, remedy = "store_read_only", "Make the data folder writable; nothing else is needed."
    else:
        name, remedy = "store_failed", "See what the disk has: `mlxoss logs`, `mlxoss doctor`."
    return DaemonProblem(name, f"The response store failed: {error}", remedy, since)


def is_of_the_disk(error: StoreError) -> bool:
    """Whether SQLite failed, and not the request against the store's own bounds."""
    return isinstance(error.__cause__, sqlite3.Error)


@contextmanager
def store_errors(place: str) -> Iterator[None]:
    """Turn what SQLite raises inside into :class:`StoreError`; ``place`` names the file.

    Half of a surrogate pair has no UTF-8 form, so neither an id nor a text with
    one can be kept or found: that is the request's fault.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise _to_store_error(place, error) from error
    except UnicodeEncodeError as error:
        raise InvalidRequest("The text holds half of a surrogate pair.") from error


def _to_store_error(place: str, error: sqlite3.Error) -> StoreError:
    code = _code(error)
    if code == sqlite3.SQLITE_FULL:
        return StoreFull(f"No room left on the disk for {place}.")
    if code in _DAMAGE:
        return damaged(place, str(error))
    return StoreError(f"{place}: {error}.")


def _code(error: BaseException | None) -> int:
    """SQLite's primary result code; 0 for Python's own complaints (a closed connection)."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF
