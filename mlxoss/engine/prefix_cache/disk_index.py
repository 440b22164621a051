"""Which snapshots are on the disk, and in which order they go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlxoss.engine.prefix_cache.disk_files import NOTHING, Link


@dataclass(eq=False, slots=True)
class Entry:
    """A link that is there, or will be (``is_written`` false).

    ``is_new``: it was computed since the model was loaded.
    """

    link: Link
    nbytes: int
    is_written: bool
    is_new: bool


class DiskIndex:
    """Links by their keys, the least recently used first. Not thread-safe.

    A link is never there without those that it goes on from: whatever drops one drops those that
    go on from it too, and a chain in use is newer at its root than at its end.
    """

    def __init__(self) -> None:
        self.nbytes = 0
        self._entries: dict[str, Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, entry: Entry) -> bool:
        return self._entries.get(entry.link.key) is entry

    def lengths(self, most: int) -> list[int]:
        """The lengths of snapshots of at most ``most`` tokens, ascending."""
        found = {entry.link.length for entry in self._entries.values()}
        return sorted(length for length in found if length <= most)

    def chain(self, key: str) -> list[Entry]:
        """The links that make up the snapshot ``key``, root first; empty if one is missing."""
        chain: list[Entry] = []
        while key != NOTHING:
            entry = self._entries.get(key)
            if entry is None or (chain and entry.link.length >= chain[-1].link.length):
                return []
            chain.append(entry)
            key = entry.link.parent
        return chain[::-1]

    def touch(self, chain: Sequence[Entry]) -> None:
        """Count ``chain`` as used now."""
        for entry in reversed(chain):
            self._entries[entry.link.key] = self._entries.pop(entry.link.key)

    def add(self, entry: Entry) -> bool:
        """Take in an entry as used now, unless its key is there already."""
        if entry.link.key in self._entries:
            return False
        self._entries[entry.link.key] = entry
        self.nbytes += entry.nbytes
        return True

    def drop(self, key: str) -> list[Link]:
        """Give up a link and those that go on from it; all of them."""
        dropped: list[Link] = []
        waiting = [key]
        while waiting:
            entry = self._entries.pop(waiting.pop(), None)
            if entry is None:
                continue
            self.nbytes -= entry.nbytes
            dropped.append(entry.link)
            gone = entry.link.key
            waiting += [key for key, other in self._entries.items() if other.link.parent == gone]
        return dropped

    def shrink(self, limit_bytes: int) -> list[Link]:
        """Give up the least recently used until the others fit."""
        dropped: list[Link] = []
        while self.nbytes > limit_bytes:
            dropped += self.drop(next(iter(self._entries)))
        return dropped

    def drop_broken(self) -> list[Link]:
        """Give up the links that lack one that they go on from."""
        broken = [key for key in self._entries if not self.chain(key)]
        return [link for key in broken for link in self.drop(key)]

    def drop_new(self) -> list[Link]:
        """Give up what was computed since the model was loaded."""
        new = [key for key, entry in self._entries.items() if entry.is_new]
        return [link for key in new for link in self.drop(key)]
