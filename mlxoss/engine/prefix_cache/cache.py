"""The prefix cache: prompts that begin as earlier ones did need not compute that again.

Theory of operation. Half of a GPT-OSS's layers attend to everything. Their keys and values of a
token are the same whatever follows it, so those of a beginning can be cut out of any longer
sequence. The other layers attend to a window of the last tokens. Their caches overwrite what
leaves the window, so they cannot be rolled back: what they hold belongs to one length. Hence:

- A snapshot is the windows' state at one length, and the keys and values of the full layers of
  all tokens up to there. Those of a common beginning are kept once (``RadixTree``).
- A prompt can begin only where a snapshot was taken. Where that is worth it has to be decided
  before it is prefilled (``find_boundaries``: the ends of messages).
- A snapshot is used only for a prompt that begins with all of its ids. So nothing of one
  conversation shows in another, and text that was encoded in another way is not found.

The life of an entry:

1. ``start`` finds the longest snapshot that the prompt begins with, at most up to its last token
   but one: the first new token is chosen by the last one's logits. The disk is asked for one that
   is longer by ``STEP_TOKENS``. Caches are filled with it, and the rest of the prompt is
   prefilled in chunks, which do not end where its boundaries are.
2. ``keep`` is called for each boundary once the chunk that it lies in is computed, with the caches
   as they were there (``held``), and at the end of a turn that made calls or was cut. After a
   final answer it is not: the next prompt leaves the reasoning out, so it would begin otherwise.
3. That next prompt is computed ahead by ``advance``, bit by bit, while nothing runs. Its progress
   is one snapshot that moves along: what is kept on the way ``towards`` a prompt goes once there
   is one further on that way, and the tokens of both stay.
4. So is that of a prefill: ``keep`` is also called every ``MOVING_TOKENS`` inside a long message,
   and ``give_up`` when its request is cancelled, for who asks again. The last one given up is
   held, so that the small requests of others do not take its place: until that prompt comes
   again, or ``PATIENCE`` others came. On the disk progress is a chain of links, of which
   none can go: there it costs a window state for each.
5. A paused sequence's snapshot is held too (``hold``, ``release``): others go first.
   Before them, and after all others, go those of the prompts that came last under a client's key
   (``claim``).
6. ``distrust`` forgets everything that was computed since the load, where an output was no number
   or a step failed.
7. ``leave_memory`` has all of them be on the disk alone, for a model that is let go while idle.
8. ``close`` gives the ends of conversations to the disk, within ``LAST_WRITES_S``, and before
   them the prefills that it interrupts.

All of it is the engine's thread's. What goes to the disk is copied into host memory there and
written by one thread of its own (``disk_writer``).
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import mlx.core as mx

from mlxoss.engine.backend import PrefixCacheStatus
from mlxoss.engine.mlx.model import Caches, Model
from mlxoss.engine.prefix_cache.claims import Claims
from mlxoss.engine.prefix_cache.disk import STEP_TOKENS, DiskTier, Layers
from mlxoss.engine.prefix_cache.radix_tree import RadixTree
from mlxoss.engine.prefix_cache.snapshot import (
    Pairs,
    can_be_kept,
    fill_caches,
    read_snapshot,
    snapshot_bytes,
)
from mlxoss.harmony.boundaries import find_boundaries

logger = logging.getLogger(__name__)

Boundaries = Callable[[Sequence[int], int], Sequence[int]]
"""A prompt's ids and the length that is known of it, to the longer ones to keep snapshots at."""

MOVING_TOKENS = 2048
"""How much of a message is computed before that is kept, in case it is asked for again before its
end was reached: seconds of a slow machine, and copying as much takes far less than a hundredth of
that (``tests/benchmarks/retries.py`` measures it)."""

PATIENCE = 32
"""How many other prompts may come before a prefill that was given up is like all others: the tries
of one client are seconds apart, and some small requests of its own may come in between."""

LAST_WRITES_S = 1.0
"""How long closing may take: a process that was told to end waits no longer than 2 s for it."""


@dataclass(frozen=True, slots=True)
class Start:
    """How to prefill a prompt: ``caches`` hold its first ``length`` tokens (``None``: none), and
    at each of ``boundaries``, which are longer and ascend, a snapshot is wanted."""

    length: int
    caches: Caches | None
    boundaries: Sequence[int]


@dataclass(frozen=True, slots=True)
class GivenUp:
    """A prompt whose request was cancelled when ``ids``, its beginning, were computed."""

    ids: tuple[int, ...]
    prompt: tuple[int, ...]


_NOTHING = GivenUp((), ())


class PrefixCache:
    """Snapshots of KV caches by the exact tokens they hold. Belongs to the engine's thread.

    Only a prompt that begins with all tokens of a snapshot gets it, so nothing of one conversation
    shows in another. ``limit_bytes`` bounds the snapshots; those used least recently go first.
    ``disk`` keeps those worth it for longer than the process lives (``None``: nothing does).
    """

    def __init__(
        self,
        limit_bytes: int,
        boundaries: Boundaries = find_boundaries,
        disk: DiskTier | None = None,
    ) -> None:
        self._claims = Claims()
        self._tree: RadixTree[Pairs, Pairs] = RadixTree(limit_bytes, self._claims)
        self._limit_bytes = limit_bytes
        self._boundaries = boundaries
        self._disk = disk
        self._given_up = _NOTHING
        self._others = 0
        self._hits = 0
        self._hit_tokens = 0

    @property
    def status(self) -> PrefixCacheStatus:
        """A reading."""
        tree, disk = self._tree, self._disk
        return PrefixCacheStatus(
            entries=len(tree),
            bytes=tree.nbytes,
            limit_bytes=self._limit_bytes,
            hits=self._hits,
            hit_tokens=self._hit_tokens,
            disk_entries=disk.entries if disk else 0,
            disk_bytes=disk.nbytes if disk else 0,
            disk_limit_bytes=disk.limit_bytes if disk else 0,
            disk_hits=disk.hits if disk else 0,
        )

    def start(
        self,
        ids: tuple[int, ...],
        make_caches: Callable[[], Caches],
        *,
        goes_on: bool = False,
    ) -> Start:
        """Begin the prompt ``ids`` with the longest snapshot that leaves its last token.

        Its logits are what the first new token is chosen by, so that one is always computed. One
        that ``goes_on`` after a pause is no hit: what it needs was there before.
        """
        length, caches = self._restore(ids, len(ids) - 1, make_caches)
        self._count_others(ids)
        if caches is not None and not goes_on:
            self._hits += 1
            self._hit_tokens += length
        boundaries = self._boundaries(ids, length) if self._limit_bytes else ()
        return Start(length, caches, boundaries)

    def claim(self, key: str | None, ids: tuple[int, ...]) -> None:
        """The prompt ``ids`` came under a client's ``key``: other snapshots go before its own."""
        self._claims.note(key, ids)

    def keep(
        self, ids: tuple[int, ...], caches: Layers, towards: tuple[int, ...] | None = None
    ) -> None:
        """Keep a snapshot of the sequence ``ids`` that ``caches`` hold, unless there is one.

        One on the way ``towards`` a prompt is progress: one further on takes its place.
        """
        if self._limit_bytes == 0:
            return
        if self._tree.holds(ids):
            if towards is None:
                self._tree.settle(ids)
        elif can_be_kept(caches):
            self._add(ids, caches, towards)
            if self._disk is not None:
                self._disk.offer(ids, caches)

    def give_up(self, ids: tuple[int, ...], caches: Layers, prompt: tuple[int, ...]) -> None:
        """Keep ``ids``, what was prefilled of a ``prompt`` whose request was cancelled.

        Others go first from now on, unless a longer one that was given up is still waited for.
        """
        if not ids:
            return
        is_longest = len(ids) >= len(self._given_up.ids)
        if is_longest:
            self.release(self._given_up.ids)
            self._given_up, self._others = GivenUp(ids, prompt), 0
        self.keep(ids, caches, towards=prompt)
        if is_longest:
            self._tree.hold(ids, held=True)

    def hold(self, ids: tuple[int, ...], caches: Layers) -> None:
        """Keep a snapshot as ``keep`` does, in memory alone; others go first until ``release``."""
        if self._limit_bytes == 0 or not ids:
            return
        if not self._tree.holds(ids) and can_be_kept(caches):
            self._add(ids, caches)
        self._tree.hold(ids, held=True)

    def release(self, ids: tuple[int, ...]) -> None:
        """Have the snapshot of ``ids``, if it is still there, be as any other."""
        self._tree.hold(ids, held=False)

    def advance(self, ids: tuple[int, ...], model: Model, most_tokens: int) -> bool:
        """Compute up to ``most_tokens`` more of the prompt ``ids`` but its last token, by itself.

        Progress is kept, in one snapshot that moves along, so the next call may come whenever.
        Returns whether anything is left to do.
        """
        target = len(ids) - 1
        if self._limit_bytes == 0:
            return False
        known, restored = self._restore(ids, target, model.make_cache)
        if known == target:
            return False
        caches = model.make_cache() if restored is None else restored
        end = min(target, known + most_tokens)
        model(mx.array([ids[known:end]]), cache=caches)
        if end == target:
            self.keep(ids[:end], caches)
        elif can_be_kept(caches):
            self._add(ids[:end], caches, towards=ids)  # not worth a file
        # One that there is no room for would begin anew each time.
        return end < target and self._tree.holds(ids[:end])

    def distrust(self) -> None:
        """Forget what was computed since the model was loaded."""
        self._tree.clear()
        self._given_up = _NOTHING
        if self._disk is not None:
            self._disk.distrust()

    def leave_memory(self, make_caches: Callable[[], Caches]) -> bool:
        """Have all snapshots be on the disk alone; whether none is in memory now.

        Where there is no disk to find them on again they stay. May take ``LAST_WRITES_S``.
        """
        if self._disk is None or self._disk.is_broken:
            return not len(self._tree)
        ends = ((ids, self._read(ids, make_caches)) for ids in self._tree.ends())
        self._disk.store(ends, until=time.monotonic() + LAST_WRITES_S)
        if self._disk.is_broken:
            return False
        self._tree.clear()
        self._given_up = _NOTHING
        return True

    def close(
        self,
        make_caches: Callable[[], Caches],
        interrupted: Iterable[tuple[tuple[int, ...], Layers]] = (),
    ) -> None:
        """Forget all snapshots; what is not on the disk goes there.

        That is what was computed of prefills that are ``interrupted``, and then the ends of
        conversations.
        """
        try:
            if self._disk is not None:
                ends = ((ids, self._read(ids, make_caches)) for ids in self._tree.ends())
                last = itertools.chain(interrupted, ends)
                self._disk.close(last, until=time.monotonic() + LAST_WRITES_S)
        except Exception as error:
            logger.warning("the last snapshots could not be stored", exc_info=error)
        self._tree.clear()

    def _restore(
        self, ids: tuple[int, ...], most: int, make_caches: Callable[[], Caches]
    ) -> tuple[int, Caches | None]:
        """The length of the longest snapshot of ``most`` tokens that ``ids`` begins with, and
        caches that hold it; from the disk if that has one longer by what is worth reading."""
        found = self._tree.find(ids, most)
        known = 0 if found is None else found.length
        stored = self._disk.find(ids, most, known + STEP_TOKENS) if self._disk else None
        best = stored or found
        if best is None:
            return 0, None
        caches = make_caches()
        fill_caches(caches, best.length, best.runs, best.state)
        if stored is not None:
            self._add(ids[: stored.length], caches)
        return best.length, caches

    def _add(
        self, ids: tuple[int, ...], caches: Layers, towards: tuple[int, ...] | None = None
    ) -> None:
        covered = self._tree.covered(ids)
        # Asked first: what is too large would be copied as a whole only to be thrown away.
        if self._tree.takes(ids, *snapshot_bytes(caches, covered)):
            run, windows = read_snapshot(caches, covered)
            self._tree.add(ids, run if covered < len(ids) else None, windows, towards)

    def _count_others(self, ids: tuple[int, ...]) -> None:
        """A prompt came: is it the one that was given up last, or is that too long ago?"""
        self._others += 1
        if ids == self._given_up.prompt or self._others > PATIENCE:
            self.release(self._given_up.ids)
            self._given_up = _NOTHING

    def _read(self, ids: tuple[int, ...], make_caches: Callable[[], Caches]) -> Caches:
        """New caches that hold the snapshot of ``ids``."""
        found = self._tree.find(ids, len(ids))
        assert found is not None
        caches = make_caches()
        fill_caches(caches, found.length, found.runs, found.state)
        return caches
