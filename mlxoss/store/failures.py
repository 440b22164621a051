"""From SQLite's errors to the one exception tree."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from mlxoss.errors import InvalidRequest, StoreError, StoreFull

_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


def damaged(place: str, why: str) -> StoreError:
    """The refusal of a database that is broken or half there."""
    return StoreError(
        f"{place} is damaged ({why}). Move it and its -wal file away to start with an empty "
        f"store; 'sqlite3 {place} .recover' may bring back what it holds."
    )


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
    # Python's own complaints (a closed connection) carry no code of SQLite's.
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return StoreFull(f"No room left on the disk for {place}.")
    if code in _DAMAGE:
        return damaged(place, str(error))
    return StoreError(f"{place}: {error}.")
