"""Threads and transactions: how the event loop gets at SQLite without waiting for it."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from mlxoss.errors import NotFound, StoreDamaged, StoreError, StoreUnavailable
from mlxoss.findings import DaemonProblem
from mlxoss.store.failures import is_of_the_disk, store_errors, to_problem

T = TypeVar("T")
Job = Callable[[sqlite3.Connection], T]

_ELSEWHERE = (
    "This is not at hand: the server cannot use its response store at the moment and keeps "
    "responses in memory. What was stored before is still on its disk."
)


class Database:
    """One connection that writes and one that reads, each on a thread behind a queue.

    A job is a function of a connection; it runs inside one transaction on one of
    the two threads and is awaited on the event loop. The second one keeps reads
    from waiting for the disk behind writes (0.5 ms instead of 8 at the median
    while another client writes without pause); a third gains nothing. In memory,
    where no second connection can look, reads run on the writing thread.
    ``place`` names the file in errors. ``stands_in`` says that what is not here may be in a
    file that cannot be used: ``NotFound`` becomes ``StoreUnavailable``.
    """

    def __init__(
        self,
        place: str,
        writer: sqlite3.Connection,
        reader: sqlite3.Connection | None = None,
        *,
        stands_in: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._place = place
        self._clock = clock
        self.stands_in = stands_in
        self._problem: DaemonProblem | None = None
        self._is_damaged = False
        self._writer = writer
        self._reader = reader or writer
        self._writing = ThreadPoolExecutor(1, thread_name_prefix="store-write")
        self._reading = (
            self._writing
            if reader is None
            else ThreadPoolExecutor(1, thread_name_prefix="store-read")
        )
        self._durable = True
        self._closed = False

    async def write(self, job: Job[T], *, durable: bool = True) -> T:
        """Run ``job`` in a transaction and wait until it is committed: all of it or nothing.

        ``durable`` waits for the disk too; without it a commit survives the death of
        the process, but not of the machine. Once called it runs to its end, even if
        the caller is cancelled meanwhile. Raises what ``job`` raises, ``StoreFull``
        and ``StoreError``.
        """
        return await asyncio.shield(self._submit(self._writing, self._write, job, durable))

    async def read(self, job: Job[T]) -> T:
        """Run ``job`` on one snapshot of everything committed before the call."""
        return await self._submit(self._reading, self._read, job)

    @property
    def problem(self) -> DaemonProblem | None:
        """Why the last use failed, until something is kept again; damage stays. Any thread."""
        return self._problem

    async def checkpoint(self) -> None:
        """Move the write-ahead log into the file and cut both to what they hold."""
        await asyncio.shield(self._submit(self._writing, self._checkpoint))

    async def close(self) -> None:
        """Finish what is queued, then close. Later calls raise ``StoreError``."""
        self._closed = True
        await asyncio.to_thread(self._close)

    def _submit(
        self, pool: ThreadPoolExecutor, function: Callable[..., T], *args: object
    ) -> asyncio.Future[T]:
        if self._closed:
            raise StoreError(f"{self._place}: the store is closed.")
        future: Future[T] = pool.submit(function, *args)
        return asyncio.wrap_future(future)

    def _write(self, job: Job[T], durable: bool) -> T:
        before = self._writer.total_changes
        with self._errors():
            if durable is not self._durable:
                self._writer.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
                self._durable = durable
            result = _in_transaction(self._writer, "BEGIN IMMEDIATE", job)
        if self._writer.total_changes != before and not self._is_damaged:
            self._problem = None
        return result

    def _read(self, job: Job[T]) -> T:
        with self._errors():
            return _in_transaction(self._reader, "BEGIN", job)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn errors into the store's own, and note what the owner should know of."""
        try:
            with store_errors(self._place):
                yield
        except StoreError as error:
            if is_of_the_disk(error) and not self._is_damaged:
                since = self._clock() if self._problem is None else self._problem.since
                self._problem = to_problem(error, since)
                self._is_damaged = isinstance(error, StoreDamaged)
            raise
        except NotFound as error:
            if self.stands_in:
                raise StoreUnavailable(_ELSEWHERE) from error
            raise

    def _checkpoint(self) -> None:
        with store_errors(self._place):
            self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _close(self) -> None:
        self._reading.shutdown()
        self._writing.shutdown()
        # The writer last: the last connection out folds the log into the file.
        self._reader.close()
        self._writer.close()


def _in_transaction(connection: sqlite3.Connection, begin: str, job: Job[T]) -> T:
    connection.execute(begin)
    try:
        result = job(connection)
        connection.execute("COMMIT")
    finally:
        # SQLite has rolled back by itself after some errors (a full disk among them).
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    return result
