"""The tree against a plain dictionary of snapshots, and what goes when room is short."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest

from mlxoss.engine.prefix_cache.radix_tree import RadixTree

Ids = tuple[int, ...]


@dataclass(frozen=True)
class Tokens:
    """A run that is its own tokens, ten bytes each."""

    ids: Ids

    @property
    def nbytes(self) -> int:
        return 10 * len(self.ids)

    def split(self, at: int) -> tuple[Tokens, Tokens]:
        assert 0 < at < len(self.ids)
        return Tokens(self.ids[:at]), Tokens(self.ids[at:])


@dataclass(frozen=True)
class End:
    """A state that says whose it is."""

    ids: Ids
    nbytes: int = 7


Tree = RadixTree[Tokens, End]


def add(tree: Tree, ids: Ids) -> None:
    if not tree.holds(ids):
        start = tree.covered(ids)
        tree.add(ids, Tokens(ids[start:]) if start < len(ids) else None, End(ids))


def find(tree: Tree, ids: Ids, most: int | None = None) -> Ids | None:
    found = tree.find(ids, len(ids) if most is None else most)
    if found is None:
        return None
    assert sum((run.ids for run in found.runs), ()) == ids[: found.length] == found.state.ids
    return ids[: found.length]


def size(snapshots: set[Ids]) -> int:
    """What snapshots take at least: each beginning once, and their ends."""
    beginnings = {ids[:n] for ids in snapshots for n in range(1, len(ids) + 1)}
    return 10 * len(beginnings) + 7 * len(snapshots)


def test_everything_is_found_again_and_shared() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201
    rng = random.Random(seed)
    for _ in range(200):
        tree: Tree = RadixTree(10**9)
        kept: set[Ids] = set()
        for _ in range(rng.randint(1, 20)):
            ids = tuple(rng.randint(0, 2) for _ in range(rng.randint(1, 12)))
            add(tree, ids)
            kept.add(ids)
            assert (len(tree), tree.nbytes) == (len(kept), size(kept))
            asked = tuple(rng.randint(0, 2) for _ in range(rng.randint(1, 14)))
            most = rng.randint(0, len(asked))
            held = [asked[:n] for n in range(1, most + 1) if asked[:n] in kept]
            assert find(tree, asked, most) == (held[-1] if held else None)


def test_what_was_used_last_stays() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201
    rng = random.Random(seed)
    for _ in range(200):
        limit = rng.randint(60, 400)
        tree: Tree = RadixTree(limit)
        recent: list[Ids] = []
        for _ in range(30):
            ids = tuple(rng.randint(0, 2) for _ in range(rng.randint(1, 12)))
            used = ids if rng.random() < 0.5 else find(tree, ids)
            if used == ids:
                add(tree, ids)
            if used is None or size({used}) > limit:
                continue
            recent = [*(one for one in recent if one != used), used]
            while size(set(recent)) > limit:
                del recent[0]
            assert (len(tree), tree.nbytes) == (len(recent), size(set(recent)))
            assert all(tree.covered(one) == len(one) for one in recent)
            ends = [
                one
                for one in reversed(recent)
                if not any(other[: len(one)] == one for other in recent if other != one)
            ]
            assert tree.ends() == ends


def test_a_snapshot_larger_than_everything_harms_nothing() -> None:
    tree: Tree = RadixTree(100)
    add(tree, (1, 2))
    add(tree, tuple(range(50)))
    add(tree, (1, *range(50)))
    assert find(tree, (1, 2, 3)) == (1, 2)
    assert len(tree) == 1


@pytest.mark.parametrize("limit", [0, 16])
def test_no_room_keeps_nothing(limit: int) -> None:
    tree: Tree = RadixTree(limit)
    add(tree, (1,))
    assert (len(tree), tree.nbytes, find(tree, (1, 2))) == (0, 0, None)


def test_clear() -> None:
    tree: Tree = RadixTree(1000)
    add(tree, (1, 2))
    tree.clear()
    assert (len(tree), tree.nbytes, tree.covered((1, 2))) == (0, 0, 0)
    add(tree, (1, 2))
    assert find(tree, (1, 2)) == (1, 2)


def test_progress_goes_with_what_is_further_on_its_way() -> None:
    tree: Tree = RadixTree(10**9)
    way = tuple(range(9))

    def move(ids: Ids, towards: Ids | None = way) -> None:
        start = tree.covered(ids)
        tree.add(ids, Tokens(ids[start:]) if start < len(ids) else None, End(ids), towards)

    move(way[:3])
    move(way[:5])
    assert (find(tree, way[:4]), find(tree, way), len(tree)) == (None, way[:5], 1)
    move((*way[:6], 99), None)  # turns off: the way is still gone by others
    assert find(tree, way) == way[:5]
    tree.hold(way[:5], held=True)
    move(way[:7])
    assert find(tree, way[:6]) == way[:5]
    tree.settle(way[:7])
    move((*way, 9), None)  # beyond the end of the way
    assert find(tree, way) == way[:7]
    tree.hold(way[:5], held=False)
    move((*way, 9, 9), None)
    assert find(tree, way[:6]) is None
    assert find(tree, way) == way[:7]


def test_what_is_too_large_is_told_beforehand() -> None:
    tree: Tree = RadixTree(100)
    add(tree, (1, 2, 3))
    assert tree.takes((1, 2, 3, *range(10, 15)), 50, 7)
    assert not tree.takes((1, 2, 3, *range(10, 17)), 70, 7)
    assert not tree.takes((1, 2, *range(10, 18)), 80, 7)
