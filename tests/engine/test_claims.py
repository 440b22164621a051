"""``prompt_cache_key``: what is kept longer, and how much of the room that may take."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace

from mlxoss.core import GenerationRequest
from mlxoss.engine.mlx.batch import LanguageModel
from mlxoss.engine.prefix_cache.claims import CLAIM_PROMPTS, MOST_CLAIMS, Claims
from mlxoss.engine.prefix_cache.radix_tree import RadixTree
from tests.engine.test_radix_tree import End, Ids, Tokens, Tree, add, find
from tests.support.engine.harness import make_request
from tests.support.engine.prefixes import MARK, make_backend, run_one, text

SIZE = 10 * 10 + 7
"""Of a snapshot of ten tokens that shares none."""


def ten(number: int) -> Ids:
    return (number, *range(1000, 1009))


def make_tree(claims: list[Ids], snapshots: int = 4) -> Tree:
    return RadixTree[Tokens, End](snapshots * SIZE, claims)


def test_a_claimed_one_outlives_those_used_later() -> None:
    tree = make_tree([ten(0)])
    for number in range(20):
        add(tree, ten(number))
    assert [number for number in range(20) if find(tree, ten(number))] == [0, 17, 18, 19]


def test_so_does_what_goes_on_from_it_and_what_it_goes_on_from() -> None:
    longer = (*ten(0), 5, 6, 7, 8)
    for claimed in (ten(0), ten(0)[:8], longer):
        tree = make_tree([claimed], 5)
        for ids in (ten(0), longer, *map(ten, range(1, 20))):
            add(tree, ids)
        assert find(tree, longer) == longer
        assert find(tree, ten(0)) == ten(0)


def test_claims_take_half_of_the_room_the_latest_first() -> None:
    tree = make_tree([ten(2), ten(1), ten(0)])
    for number in range(20):
        add(tree, ten(number))
    assert [number for number in range(20) if find(tree, ten(number))] == [1, 2, 18, 19]


def test_the_newest_stays_beside_claims() -> None:
    tree = make_tree([ten(0), ten(1)])
    for number in range(2):
        add(tree, ten(number))
    large = tuple(range(2000, 2035))
    add(tree, large)
    assert find(tree, large) == large


def test_the_room_is_never_exceeded() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201
    rng = random.Random(seed)
    for _ in range(100):
        claims: list[Ids] = []
        limit = rng.randint(50, 900)
        tree: Tree = RadixTree(limit, claims)
        for _ in range(40):
            ids = tuple(rng.randint(0, 2) for _ in range(rng.randint(1, 12)))
            if rng.random() < 0.5:
                claims[:] = [ids, *claims][:3]
            takes = tree.takes(ids, 10 * (len(ids) - tree.covered(ids)), 7)
            add(tree, ids)
            assert tree.nbytes <= limit
            assert not takes or find(tree, ids) == ids
            others = rng.choices(range(3), k=rng.randint(1, 12))
            find(tree, tuple(others))


def test_a_key_counts_with_its_latest_prompt_alone() -> None:
    claims = Claims()
    for key, ids in (("a", (1,)), ("b", (2,)), (None, (3,)), ("a", (4,))):
        claims.note(key, ids)
    assert list(claims) == [(4,), (2,)]


def test_keys_are_few_and_are_forgotten() -> None:
    claims = Claims()
    for number in range(MOST_CLAIMS + 3):
        claims.note(str(number), (number,))
    assert [ids for (ids,) in claims] == list(reversed(range(3, MOST_CLAIMS + 3)))
    for _ in itertools.repeat(None, CLAIM_PROMPTS // 2):
        claims.note(None, (7,))
    claims.note("3", (3,))
    for _ in itertools.repeat(None, CLAIM_PROMPTS - 1):
        claims.note(None, (7,))
    assert list(claims) == [(3,)]
    for _ in range(2):
        claims.note(None, (7,))
    assert list(claims) == []


def prompt(number: int, key: str | None = None) -> GenerationRequest:
    request = make_request([*text(150, number), MARK, *text(150, number)], 1)
    return replace(request, cache_key=key)


def test_a_backend_keeps_a_keyed_prompt_longer(model: LanguageModel) -> None:
    measured = make_backend(model)
    run_one(measured, prompt(1))
    room = 5 * measured.prefix_cache.bytes
    for key, cached in ((None, 0), ("a", 300)):
        backend = make_backend(model, limit_bytes=room)
        run_one(backend, prompt(1, key))
        for number in range(2, 12):
            run_one(backend, prompt(number))
        assert run_one(backend, prompt(1))[0] == cached
