"""The one thread that changes the folder of snapshots."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mlxoss.engine.prefix_cache.disk_files import Arrays, Link, write_link
from mlxoss.engine.prefix_cache.disk_index import Entry


@dataclass(frozen=True, slots=True)
class WriteFile:
    """Write ``entry``; the arrays are nobody else's."""

    entry: Entry
    arrays: Arrays


@dataclass(frozen=True, slots=True)
class RemoveFiles:
    """Remove the files of ``links``."""

    links: Sequence[Link]


@dataclass(frozen=True, slots=True)
class TouchFiles:
    """Mark the files of ``links`` as used now, the last of them the latest."""

    links: Sequence[Link]


@dataclass(frozen=True, slots=True)
class Written:
    """A ``WriteFile`` is done, or failed with ``error``."""

    entry: Entry
    error: Exception | None


Job = WriteFile | RemoveFiles | TouchFiles


class DiskWriter:
    """Carries out jobs one after the other. ``put`` returns at once; ``done`` tells of writes."""

    def __init__(self, folder: Path) -> None:
        self.done: queue.SimpleQueue[Written] = queue.SimpleQueue()
        self._folder = folder
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._main, name="mlxoss-snapshots", daemon=True)
        self._thread.start()

    def put(self, job: Job) -> None:
        """Carry out ``job`` after those put before it."""
        self._jobs.put(job)

    def close(self, timeout_s: float) -> None:
        """End the thread after the jobs that were put; wait for that, but not for longer."""
        self._jobs.put(None)
        self._thread.join(timeout_s)

    def _main(self) -> None:
        while self._next():
            pass

    def _next(self) -> bool:
        match self._jobs.get():
            case None:
                return False
            case WriteFile(entry, arrays):
                self.done.put(Written(entry, self._write(entry.link, arrays)))
            case RemoveFiles(links):
                for link in links:
                    with suppress(OSError):
                        (self._folder / link.name).unlink()
            case TouchFiles(links):
                for link in links:
                    with suppress(OSError):
                        os.utime(self._folder / link.name)
        return True

    def _write(self, link: Link, arrays: Arrays) -> Exception | None:
        try:
            write_link(self._folder, link, arrays)
        except Exception as error:  # noqa: BLE001 - whatever it was, it is told to who put it
            return error
        return None
