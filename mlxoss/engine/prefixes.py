"""The prefix cache: prompts that begin as earlier ones did need not compute that again."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import mlx.core as mx

from mlxoss.engine.backend import PrefixCacheStatus
from mlxoss.engine.model import Model
from mlxoss.engine.prefix_tree import PrefixTree
from mlxoss.engine.snapshot import Pairs, can_be_kept, fill_caches, read_run, read_windows
from mlxoss.harmony.boundaries import find_boundaries

Boundaries = Callable[[Sequence[int], int], Sequence[int]]
"""A prompt's ids and the length that is known of it, to the longer ones to keep snapshots at."""


@dataclass(frozen=True, slots=True)
class Start:
    """How to prefill a prompt: ``caches`` hold its first ``length`` tokens (``None``: none), and
    after each of ``segments``, which are the others, a snapshot is wanted."""

    length: int
    caches: list[Any] | None
    segments: list[list[int]]


class PrefixCache:
    """Snapshots of KV caches by the exact tokens they hold. Belongs to the engine's thread.

    Only a prompt that begins with all tokens of a snapshot gets it, so nothing of one conversation
    shows in another. ``limit_bytes`` bounds the snapshots; those used least recently go first.
    """

    def __init__(self, limit_bytes: int, boundaries: Boundaries = find_boundaries) -> None:
        self._tree: PrefixTree[Pairs, Pairs] = PrefixTree(limit_bytes)
        self._limit_bytes = limit_bytes
        self._boundaries = boundaries
        self._stone: tuple[int, ...] = ()
        self._hits = 0
        self._hit_tokens = 0

    @property
    def status(self) -> PrefixCacheStatus:
        """A reading."""
        tree = self._tree
        return PrefixCacheStatus(
            len(tree), tree.nbytes, self._limit_bytes, self._hits, self._hit_tokens
        )

    def start(self, ids: tuple[int, ...], make_caches: Callable[[], list[Any]]) -> Start:
        """Begin the prompt ``ids`` with the longest snapshot that leaves its last token.

        Its logits are what the first new token is chosen by, so that one is always computed.
        """
        found = self._tree.find(ids, len(ids) - 1)
        if found is None:
            return Start(0, None, self._segments(ids, 0))
        caches = make_caches()
        fill_caches(caches, found.length, found.runs, found.state)
        self._hits += 1
        self._hit_tokens += found.length
        return Start(found.length, caches, self._segments(ids, found.length))

    def keep(self, ids: tuple[int, ...], read_caches: Callable[[], list[Any]]) -> None:
        """Keep a snapshot of one sequence that consists of ``ids``, unless there is one.

        ``read_caches`` gives its caches, one per layer, out of the batch.
        """
        if self._limit_bytes == 0 or self._tree.holds(ids):
            return
        caches = read_caches()
        if not can_be_kept(caches):
            return
        covered = self._tree.covered(ids)
        run = read_run(caches, covered) if covered < len(ids) else None
        self._tree.add(ids, run, read_windows(caches))

    def advance(self, ids: tuple[int, ...], model: Model, most_tokens: int) -> bool:
        """Compute up to ``most_tokens`` more of the prompt ``ids`` but its last token, by itself.

        Progress is kept, in one snapshot that moves along, so the next call may come whenever.
        Returns whether anything is left to do.
        """
        target = len(ids) - 1
        found = self._tree.find(ids, target)
        known = 0 if found is None else found.length
        if known == target or self._limit_bytes == 0:
            return False
        caches = model.make_cache()
        if found is not None:
            fill_caches(caches, found.length, found.runs, found.state)
        end = min(target, known + most_tokens)
        model(mx.array([ids[known:end]]), cache=caches)
        self.keep(ids[:end], lambda: caches)
        if self._stone == ids[:known]:
            self._tree.forget(self._stone)
        self._stone = ids[:end] if end < target else ()
        # One that there is no room for would begin anew each time.
        return end < target and self._tree.holds(ids[:end])

    def clear(self) -> None:
        """Forget all snapshots."""
        self._tree.clear()

    def _segments(self, ids: tuple[int, ...], known: int) -> list[list[int]]:
        if self._limit_bytes == 0:
            return [list(ids)]
        cuts = [known, *self._boundaries(ids, known), len(ids)]
        return [list(ids[a:b]) for a, b in itertools.pairwise(cuts)]
