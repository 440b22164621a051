"""A tree of token sequences: what each needs by itself, and what those with one beginning share."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, Self, TypeVar


class Run(Protocol):
    """What was computed for some consecutive tokens, whatever follows them."""

    @property
    def nbytes(self) -> int:
        """Its size."""

    def split(self, at: int) -> tuple[Self, Self]:
        """The first ``at`` tokens' and the others', independent of each other and of this one."""


class State(Protocol):
    """What was computed for the end of a sequence."""

    @property
    def nbytes(self) -> int:
        """Its size."""


R = TypeVar("R", bound=Run)
S = TypeVar("S", bound=State)


@dataclass(frozen=True, slots=True)
class Found(Generic[R, S]):
    """A snapshot: the first ``length`` tokens' runs in order, and the state after them."""

    length: int
    runs: tuple[R, ...]
    state: S


@dataclass(eq=False, slots=True)
class _Node(Generic[R, S]):
    """The tokens ``ids`` after those of ``parent``; children differ in their first token."""

    ids: tuple[int, ...]
    run: R
    parent: _Node[R, S] | None
    state: S | None = None
    is_held: bool = False
    towards: Sequence[int] | None = None
    children: dict[int, _Node[R, S]] = field(default_factory=dict)


class RadixTree(Generic[R, S]):
    """Snapshots by their tokens, at most ``limit_bytes`` of them, the least recently used go first.

    Those that are held go last, and before them those on the way to a prompt of ``claims``, or
    beyond it, as far as they take half of ``limit_bytes`` at most. One on the way ``towards``
    longer ids is progress: unless it is held, it goes once there is one further on that way.

    A snapshot is the state after its last token and the runs of all its tokens; the runs of
    a common beginning are kept once. Not thread-safe.
    """

    def __init__(self, limit_bytes: int, claims: Iterable[Sequence[int]] = ()) -> None:
        self.nbytes = 0
        self._claims = claims
        self._limit_bytes = limit_bytes
        self._children: dict[int, _Node[R, S]] = {}
        self._recent: dict[_Node[R, S], None] = {}

    def __len__(self) -> int:
        return len(self._recent)

    def find(self, ids: Sequence[int], most: int) -> Found[R, S] | None:
        """The longest snapshot of at most ``most`` tokens that ``ids`` begins with."""
        path, _, _ = self._walk(ids)
        while path and (path[-1].state is None or _length(path) > most):
            path.pop()
        if not path:
            return None
        node = path[-1]
        assert node.state is not None
        self._touch(node)
        return Found(_length(path), tuple(node.run for node in path), node.state)

    def holds(self, ids: Sequence[int]) -> bool:
        """Whether there is a snapshot of exactly ``ids``; it counts as used."""
        node = self._node(ids)
        if node is not None:
            self._touch(node)
        return node is not None

    def settle(self, ids: Sequence[int]) -> None:
        """Have the snapshot of exactly ``ids``, if there is one, be no mere progress."""
        node = self._node(ids)
        if node is not None:
            node.towards = None

    def hold(self, ids: Sequence[int], *, held: bool) -> None:
        """Have the snapshot of exactly ``ids``, if there is one, go last, or no longer."""
        node = self._node(ids)
        if node is not None:
            node.is_held = held

    def covered(self, ids: Sequence[int]) -> int:
        """How many of the first tokens of ``ids`` have their runs here."""
        path, _, beyond = self._walk(ids)
        return _length(path) + beyond

    def takes(self, ids: Sequence[int], run_bytes: int, state_bytes: int) -> bool:
        """Whether ``add`` would keep it: a snapshot larger than everything may be is not kept."""
        path, partly, beyond = self._walk(ids)
        size = sum(part.run.nbytes for part in path) + run_bytes + state_bytes
        if partly is not None:
            size += partly.run.nbytes * beyond // len(partly.ids)
        return size <= self._limit_bytes

    def add(
        self, ids: Sequence[int], run: R | None, state: S, towards: Sequence[int] | None = None
    ) -> None:
        """Keep a snapshot of ``ids``, which has none yet, if it ``takes`` it; others go if there
        is no room.

        ``run`` is of the tokens from ``covered(ids)`` on, ``None`` if there are none.
        """
        if not self.takes(ids, 0 if run is None else run.nbytes, state.nbytes):
            return
        path, partly, beyond = self._walk(ids)
        start = _length(path) + beyond
        node = path[-1] if path else None
        if partly is not None:
            node = self._split(partly, beyond)
        if run is not None:
            child = _Node(tuple(ids[start:]), run, node)
            self._children_of(node)[ids[start]] = child
            self.nbytes += run.nbytes
            node = child
        assert node is not None
        node.state, node.towards = state, towards
        self.nbytes += state.nbytes
        self._touch(node)
        for before in path:
            if before is not node and not before.is_held and _is_on_way(ids, before.towards):
                self._drop(before)
        if self.nbytes > self._limit_bytes:
            self._make_room(node)

    def ends(self) -> list[tuple[int, ...]]:
        """The snapshots that no other one goes on from, the most recently used first."""
        return [_ids(node) for node in reversed(self._recent) if not node.children]

    def clear(self) -> None:
        """Forget everything."""
        self.nbytes = 0
        self._children.clear()
        self._recent.clear()

    def _make_room(self, newest: _Node[R, S]) -> None:
        claimed = {newest, *self._claimed()}
        while self.nbytes > self._limit_bytes:
            free = [node for node in self._recent if not node.is_held] or [*self._recent]
            self._drop(next((node for node in free if node not in claimed), free[0]))

    def _claimed(self) -> set[_Node[R, S]]:
        """The ends of snapshots that go after others."""
        found: set[_Node[R, S]] = set()
        counted: set[_Node[R, S]] = set()
        left = self._limit_bytes // 2
        for ids in self._claims:
            # The longest first: what the others share with it is needed anyway.
            for node in reversed(self._beside(ids)):
                runs = list(itertools.takewhile(lambda part: part not in counted, _up(node)))
                nbytes = sum(part.run.nbytes for part in runs)
                nbytes += 0 if node.state is None else node.state.nbytes
                if node not in found and nbytes <= left:
                    left -= nbytes
                    counted.update(runs)
                    found.add(node)
        return found

    def _beside(self, ids: Sequence[int]) -> list[_Node[R, S]]:
        """The nodes that ``ids`` goes through, and those beyond, parents before their children."""
        path, partly, beyond = self._walk(ids)
        if _length(path) + beyond < len(ids):
            return path
        beyond_end = [partly] if partly is not None else path[-1:]
        for node in beyond_end:  # which grows
            beyond_end += node.children.values()
        return [*path, *(node for node in beyond_end if node not in path)]

    def _node(self, ids: Sequence[int]) -> _Node[R, S] | None:
        """The node of the snapshot of exactly ``ids``."""
        path, _, _ = self._walk(ids)
        if not path or path[-1].state is None or _length(path) != len(ids):
            return None
        return path[-1]

    def _children_of(self, node: _Node[R, S] | None) -> dict[int, _Node[R, S]]:
        return self._children if node is None else node.children

    def _walk(self, ids: Sequence[int]) -> tuple[list[_Node[R, S]], _Node[R, S] | None, int]:
        """The nodes that ``ids`` goes through; the one it enters last, and how far it does."""
        path: list[_Node[R, S]] = []
        done = 0
        children = self._children
        while done < len(ids) and (node := children.get(ids[done])) is not None:
            common = _common(node.ids, ids[done : done + len(node.ids)])
            if common < len(node.ids):
                return path, node, common
            path.append(node)
            done += common
            children = node.children
        return path, None, 0

    def _split(self, node: _Node[R, S], at: int) -> _Node[R, S]:
        """Cut ``node`` in two after ``at`` tokens; the first of them."""
        first, second = node.run.split(at)
        self.nbytes += first.nbytes + second.nbytes - node.run.nbytes
        upper = _Node(node.ids[:at], first, node.parent)
        self._children_of(node.parent)[node.ids[0]] = upper
        upper.children[node.ids[at]] = node
        node.ids, node.run, node.parent = node.ids[at:], second, upper
        return upper

    def _touch(self, node: _Node[R, S]) -> None:
        self._recent.pop(node, None)
        self._recent[node] = None

    def _drop(self, node: _Node[R, S]) -> None:
        """Forget the snapshot that ends at ``node``, and the runs that no other one needs."""
        assert node.state is not None
        self.nbytes -= node.state.nbytes
        node.state = None
        node.is_held = False
        node.towards = None
        del self._recent[node]
        lonely: _Node[R, S] | None = node
        while lonely is not None and lonely.state is None and not lonely.children:
            self.nbytes -= lonely.run.nbytes
            del self._children_of(lonely.parent)[lonely.ids[0]]
            lonely = lonely.parent


def _ids(node: _Node[R, S] | None) -> tuple[int, ...]:
    parts: list[tuple[int, ...]] = []
    while node is not None:
        parts.append(node.ids)
        node = node.parent
    return tuple(itertools.chain.from_iterable(reversed(parts)))


def _up(node: _Node[R, S] | None) -> Iterator[_Node[R, S]]:
    while node is not None:
        yield node
        node = node.parent


def _length(path: Sequence[_Node[R, S]]) -> int:
    return sum(len(node.ids) for node in path)


def _is_on_way(ids: Sequence[int], towards: Sequence[int] | None) -> bool:
    """Whether ``ids`` begin as ``towards`` do, as far as both go."""
    if towards is None:
        return False
    both = min(len(ids), len(towards))
    return tuple(ids[:both]) == tuple(towards[:both])


def _common(ours: Sequence[int], theirs: Sequence[int]) -> int:
    """How many tokens the two have in common at their beginnings."""
    if tuple(theirs) == ours:
        return len(ours)
    pairs = enumerate(zip(ours, theirs, strict=False))
    shorter = min(len(ours), len(theirs))
    return next((index for index, (one, other) in pairs if one != other), shorter)
