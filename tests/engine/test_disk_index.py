"""How snapshots on the disk are called, and which of them go."""

from __future__ import annotations

import random

from mlxoss.engine.prefix_cache.disk_files import Link, make_keys
from mlxoss.engine.prefix_cache.disk_index import DiskIndex, Entry


def test_keys_are_of_a_model_and_all_tokens() -> None:
    ids = random.Random(1).choices(range(200_000), k=500)
    lengths = [1, 2, 127, 128, 500]
    keys = list(make_keys("a" * 64, ids, lengths))
    assert keys == [next(make_keys("a" * 64, ids[:n], [n])) for n in lengths]
    others = [
        next(make_keys("b" * 64, ids, [500])),
        next(make_keys("a" * 64, [ids[0] + 1, *ids[1:]], [500])),
        next(make_keys("a" * 64, [*ids[:-1], ids[-1] + 1], [500])),
    ]
    assert len({*keys, *others}) == len(keys) + len(others)


def test_the_index_against_a_plain_list() -> None:
    """Random trees: the oldest goes with all that go on from it, until the others fit."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201
    rng = random.Random(seed)
    index, limit = DiskIndex(), 1000
    chains: dict[str, list[str]] = {"0": []}
    sizes: dict[str, int] = {}
    recent: list[str] = []
    for number in range(1, 400):
        parent, key = rng.choice(["0", *recent]), str(number)
        chains[key], sizes[key] = [*chains[parent], key], rng.randint(1, 50)
        length = len(chains[key])
        entry = Entry(Link(key, length, parent), sizes[key], is_written=True, is_new=length > 2)
        assert index.add(entry)
        assert not index.add(entry)
        index.touch(index.chain(key))
        recent = [*(one for one in recent if one not in chains[key]), *reversed(chains[key])]
        gone = {link.key for link in index.shrink(limit)}
        while sum(sizes[one] for one in recent) > limit:
            lost = {one for one in recent if recent[0] in chains[one]}
            recent = [one for one in recent if one not in lost]
            assert lost <= gone
        assert (len(index), index.nbytes) == (len(recent), sum(sizes[one] for one in recent))
        assert all([e.link.key for e in index.chain(one)] == chains[one] for one in recent)
        assert not any(index.chain(one) for one in gone)
    assert index.drop_broken() == []
    assert {link.key for link in index.drop_new()} == {
        one for one in recent if len(chains[one]) > 2
    }
