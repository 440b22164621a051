"""The prefix cache's disk tier: snapshots that outlive an idle unload and a restart."""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from mlxoss.engine.mlx.model import LayerCache
from mlxoss.engine.prefix_cache.arrays import Form, make_revision, to_arrays, to_run, to_windows
from mlxoss.engine.prefix_cache.disk_files import NOTHING, Arrays, Link, make_keys, read_link, scan
from mlxoss.engine.prefix_cache.disk_index import DiskIndex, Entry
from mlxoss.engine.prefix_cache.disk_writer import DiskWriter, RemoveFiles, TouchFiles, WriteFile
from mlxoss.engine.prefix_cache.radix_tree import Found
from mlxoss.engine.prefix_cache.snapshot import Pairs, read_snapshot

logger = logging.getLogger(__name__)

LEAST_TOKENS = 256
"""Of a snapshot that is worth a file: less is computed in no time."""

STEP_TOKENS = 128
"""How much longer than the longest stored beginning a snapshot is that is worth a file: its window
state alone takes as much as the runs of so many tokens. As much is saved by reading one."""

LAST_STEP_TOKENS = 32
"""The same of a conversation's end when the model leaves the memory."""

MOST_PENDING_BYTES = 1 << 28
"""What may wait to be written, unless it is one snapshot; others are not stored then."""

_HEADER_BYTES = 1 << 13

Layers = Iterable[LayerCache]
"""The caches of one sequence, one per layer, which may be read in their order more than once."""


class DiskTier:
    """Snapshots in ``folder`` by their model and tokens, at most ``limit_bytes`` of them.

    Belongs to the engine's thread, which reads files and copies what shall be written; another
    one writes. ``checkpoint`` tells the model's weights from all others. A disk that cannot be
    written to is told of once, and not tried again. Raises ``OSError`` if the folder cannot be
    read.
    """

    def __init__(self, folder: Path, limit_bytes: int, checkpoint: str, form: Form) -> None:
        self.limit_bytes = limit_bytes
        self.hits = 0
        self._folder = folder
        self._form = form
        self._revision = make_revision(checkpoint, form)
        self._index = DiskIndex()
        self._pending_bytes = 0
        self._is_broken = False
        stored = scan(folder, time.time())
        entries = [Entry(one.link, one.nbytes, is_written=True, is_new=False) for one in stored]
        twice = [entry.link for entry in entries if not self._index.add(entry)]
        broken = self._index.drop_broken()
        for entry in entries:
            self._index.touch(self._index.chain(entry.link.key))
        self._writer = DiskWriter(folder)
        self._remove([*twice, *broken, *self._index.shrink(limit_bytes)])

    @property
    def entries(self) -> int:
        """How many snapshots there are, of all models."""
        return len(self._index)

    @property
    def nbytes(self) -> int:
        """What they take."""
        return self._index.nbytes

    def find(self, ids: Sequence[int], most: int, least: int) -> Found[Pairs, Pairs] | None:
        """Read the longest snapshot of ``least`` to ``most`` tokens that ``ids`` begins with."""
        self._settle()
        while chain := self._longest(ids, most, written=True):
            length = chain[-1].link.length
            if length < least:
                return None
            found = self._read(ids, chain)
            if found is not None:
                self._touch(chain)
                self.hits += 1
                return found
        return None

    def offer(self, ids: Sequence[int], caches: Layers) -> None:
        """Store the snapshot of ``ids`` that ``caches`` hold, if it is worth a file.

        The longest stored beginning of it counts as used.
        """
        self._offer(ids, caches, STEP_TOKENS, until=0.0)

    @property
    def is_broken(self) -> bool:
        """Whether it cannot be written to."""
        return self._is_broken

    def store(self, last: Iterable[tuple[Sequence[int], Layers]], until: float) -> None:
        """Store the ``last`` snapshots in memory too, though they add little, until ``until``
        (``time.monotonic``) at most."""
        for ids, caches in last:
            if time.monotonic() > until:
                break
            self._offer(ids, caches, LAST_STEP_TOKENS, until)

    def close(self, last: Iterable[tuple[Sequence[int], Layers]], until: float) -> None:
        """``store``, and let the writer finish by then. The object is of no use afterwards."""
        self.store(last, until)
        self._writer.close(max(0.0, until - time.monotonic()))
        self._settle()

    def distrust(self) -> None:
        """Give up what was computed since the model was loaded."""
        self._remove(self._index.drop_new())

    def _offer(self, ids: Sequence[int], caches: Layers, step_tokens: int, until: float) -> None:
        self._settle()
        chain = self._longest(ids, len(ids))
        self._touch(chain)
        start = chain[-1].link.length if chain else 0
        if len(ids) < LEAST_TOKENS or len(ids) - start < step_tokens:
            return
        nbytes = self._form.nbytes(len(ids), len(ids) - start) + _HEADER_BYTES
        fits = sum(entry.nbytes for entry in chain) + nbytes <= self.limit_bytes
        if fits and self._has_room(nbytes, until):
            arrays = to_arrays(ids[start:], *read_snapshot(caches, start))
            self._write(ids, chain, nbytes, arrays)

    def _write(
        self, ids: Sequence[int], chain: Sequence[Entry], nbytes: int, arrays: Arrays
    ) -> None:
        """Hand ``arrays``, which go on from ``chain``, to the writer."""
        (key,) = make_keys(self._revision, ids, [len(ids)])
        parent = chain[-1].link.key if chain else NOTHING
        entry = Entry(Link(key, len(ids), parent), nbytes, is_written=False, is_new=True)
        # The chain was used just now, so it is not among those that go.
        self._remove(self._index.shrink(self.limit_bytes - nbytes))
        self._index.add(entry)
        self._index.touch([*chain, entry])
        self._pending_bytes += nbytes
        self._writer.put(WriteFile(entry, arrays))

    def _longest(self, ids: Sequence[int], most: int, *, written: bool = False) -> list[Entry]:
        lengths = self._index.lengths(most)
        for key in reversed(list(make_keys(self._revision, ids, lengths))):
            chain = self._index.chain(key)
            if chain and (not written or all(entry.is_written for entry in chain)):
                return chain
        return []

    def _read(self, ids: Sequence[int], chain: Sequence[Entry]) -> Found[Pairs, Pairs] | None:
        """The snapshot that ``chain`` makes up; ``None`` if a link is damaged, which is removed."""
        runs: list[Pairs] = []
        arrays: Arrays = {}
        start = 0
        for entry in chain:
            length = entry.link.length
            try:
                arrays = self._read_one(entry.link, ids[start:length])
            except ValueError as error:
                logger.warning("the snapshot %s is removed: %s", entry.link.name, error)
                self._remove(self._index.drop(entry.link.key))
                return None
            runs.append(to_run(arrays, self._form))
            start = length
        return Found(start, tuple(runs), to_windows(arrays, self._form))

    def _read_one(self, link: Link, ids: Sequence[int]) -> Arrays:
        expected = self._form.expected(link.length, len(ids))
        arrays = read_link(self._folder, link, expected)
        if not np.array_equal(arrays["tokens"], ids):
            raise ValueError("it is of other tokens")
        return arrays

    def _has_room(self, nbytes: int, until: float) -> bool:
        while self._pending_bytes and self._pending_bytes + nbytes > MOST_PENDING_BYTES:
            if not self._settle_one(max(0.0, until - time.monotonic())):
                return False
        return not self._is_broken

    def _settle(self) -> None:
        while self._settle_one(0.0):
            pass

    def _settle_one(self, timeout_s: float) -> bool:
        """Take in that a file was written or was not; False if there is no such news."""
        try:
            written = self._writer.done.get(timeout_s > 0, timeout_s)
        except queue.Empty:
            return False
        entry = written.entry
        self._pending_bytes -= entry.nbytes
        entry.is_written = written.error is None
        if written.error is not None:
            if not self._is_broken:
                logger.warning("no more snapshots are written to the disk: %s", written.error)
            self._is_broken = True
            if entry in self._index:
                self._remove(self._index.drop(entry.link.key))
        return True

    def _touch(self, chain: Sequence[Entry]) -> None:
        if chain:
            self._index.touch(chain)
            self._writer.put(TouchFiles([entry.link for entry in reversed(chain)]))

    def _remove(self, links: Iterable[Link]) -> None:
        if gone := list(links):
            self._writer.put(RemoveFiles(gone))
