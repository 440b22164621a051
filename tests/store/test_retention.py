"""What goes out, and when; and that its bytes are given back."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from mlxoss.errors import NotFound, StoreFull
from mlxoss.store.store import Store
from mlxoss.store.values import Bounds, Status, StoredConversation, StoredTurn
from tests.support.clock import Clock
from tests.support.store.samples import assert_sound, item, opened, sample

DAY_S = 24 * 3600
TEXT = "secret " * 2_000


async def there(store: Store, names: str) -> str:
    """Which of the one-letter responses are still kept."""
    kept = ""
    for name in names:
        try:
            await store.get(f"resp_{name}")
        except NotFound:
            continue
        kept += name
    return kept


async def chain_ids(store: Store, name: str) -> list[str]:
    return [link.response_id for link in await store.chain(f"resp_{name}")]


def test_the_longest_unused_chain_goes_first_and_whole(place: Path | None) -> None:
    async def scenario() -> None:
        clock = Clock()
        async with opened(place, Bounds(max_items=5), clock) as store:
            for name, previous in (("a", None), ("b", "a"), ("x", None), ("c", "b"), ("y", None)):
                clock.now += 1
                await store.put(sample(name, previous))
            clock.now += 1
            await store.put(sample("d", "c"))
            # x was used longest ago; a, though older, is the root of a chain in use.
            assert await there(store, "abxcyd") == "abcyd"
            assert await chain_ids(store, "d") == [f"resp_{name}" for name in "abcd"]
            for name in "ef":
                clock.now += 1
                await store.put(sample(name))
            assert await there(store, "abcydef") == "ef"

    asyncio.run(scenario())
    if place is not None:
        assert_sound(place)


def test_a_chain_beyond_the_bound_loses_its_beginning_and_says_so(place: Path | None) -> None:
    async def scenario() -> None:
        async with opened(place, Bounds(max_items=3)) as store:
            for name, previous in (("a", None), ("b", "a"), ("c", "b"), ("d", "c")):
                await store.put(sample(name, previous))
            assert await there(store, "abcd") == "bcd"
            with pytest.raises(NotFound) as error:
                await store.chain("resp_d")
            assert error.value.code == "previous_response_not_found"
            await store.put(sample("e"))
            assert await there(store, "bcde") == "e"

    asyncio.run(scenario())


def test_what_runs_is_not_evicted(place: Path | None) -> None:
    async def scenario() -> None:
        clock = Clock()
        async with opened(place, Bounds(max_items=2), clock) as store:
            await store.put(sample("a", status=Status.IN_PROGRESS))
            for name in "bcd":
                clock.now += 31 * DAY_S
                await store.sweep()
                await store.put(sample(name))
            assert await there(store, "abcd") == "ad"
            await store.put(sample("e", status=Status.QUEUED))
            assert await there(store, "ade") == "ae"
            with pytest.raises(StoreFull):
                await store.put(sample("f"))
            assert await there(store, "aef") == "ae"
            await store.update(sample("a"))
            await store.put(sample("f"))
            assert await there(store, "aef") == "ef"

    asyncio.run(scenario())


def test_each_kind_is_bounded_by_itself(place: Path | None) -> None:
    async def scenario() -> None:
        clock = Clock()
        async with opened(place, Bounds(max_items=3), clock) as store:
            await store.put(sample("a"))
            for n in range(10):
                clock.now += 1
                await store.create_conversation(StoredConversation(f"conv_{n}", n, "{}"))
                await store.append_items("conv_0" if n < 9 else "conv_9", [item(f"m{n}")])
                await store.remember_turn(StoredTurn((n,), call_ids=(f"call_{n}",)))
            stats = await store.stats()
            assert (stats.responses, stats.conversations, stats.remembered_turns) == (1, 3, 3)
            assert (await store.conversation("conv_0")).id == "conv_0"
            found = await store.turns_of_calls(f"call_{n}" for n in range(10))
            assert set(found) == {"call_7", "call_8", "call_9"}

    asyncio.run(scenario())
    if place is not None:
        assert_sound(place)


def test_bytes_are_bounded_over_all_kinds_the_oldest_first(place: Path | None) -> None:
    async def scenario() -> None:
        clock = Clock()
        bounds = Bounds(max_bytes=1_000_000)
        async with opened(place, bounds, clock) as store:
            await store.create_conversation(StoredConversation("conv", 1, "{}"), [item("m", TEXT)])
            await store.remember_turn(StoredTurn(tuple(range(9)), call_ids=("call_chat",)))
            for n in range(100):
                clock.now += 1
                await store.put(sample(f"{n}", text=TEXT))
                assert (await store.stats()).bytes <= bounds.max_bytes
            stats = await store.stats()
            assert (stats.conversations, stats.remembered_turns) == (0, 0)
            assert 20 < stats.responses < 40
            for n in range(100 - stats.responses, 100):
                assert await store.get(f"resp_{n}") == sample(f"{n}", text=TEXT)

    asyncio.run(scenario())
    if place is not None:
        assert_sound(place)
        assert place.stat().st_size < 1_100_000


def test_what_is_larger_than_the_bound_is_refused_and_nothing_lost(place: Path | None) -> None:
    async def scenario() -> None:
        clock = Clock()
        async with opened(place, Bounds(max_bytes=500_000), clock) as store:
            await store.create_conversation(StoredConversation("conv", 1, "{}"), [item("m")])
            await store.put(sample("a"))
            with pytest.raises(StoreFull):
                await store.put(sample("b", text="x" * 500_000))
            with pytest.raises(StoreFull):
                await store.append_items("conv", [item("n", "x" * 500_000)])
            assert await there(store, "ab") == "a"
            assert (await store.history("conv")).items == (item("m"),)

    asyncio.run(scenario())


def test_a_chain_is_kept_thirty_days_from_its_last_response(place: Path | None) -> None:
    async def scenario() -> None:
        clock = Clock()
        async with opened(place, clock=clock) as store:
            await store.put(sample("a"))
            await store.put(sample("x"))
            await store.remember_turn(StoredTurn((1,), call_ids=("call",)))
            clock.now += 29 * DAY_S
            await store.put(sample("b", "a"))
            await store.sweep()
            assert await there(store, "abx") == "abx"
            clock.now += DAY_S
            await store.sweep()
            assert await there(store, "abx") == "ab"
            assert await store.turns_of_calls(["call"]) == {}
            clock.now += 29 * DAY_S
            await store.sweep()
            assert (await store.stats()).responses == 0

    asyncio.run(scenario())
    if place is not None:
        assert_sound(place)


def test_a_response_not_to_be_stored_goes_ten_minutes_after_its_end(place: Path | None) -> None:
    async def scenario() -> None:
        clock = Clock()
        running = replace(sample("a", status=Status.QUEUED), stored=False)
        async with opened(place, clock=clock) as store:
            await store.put(running)
            clock.now += 10_000
            await store.sweep()
            await store.update(replace(sample("a"), stored=False))
            clock.now += 599
            await store.put(sample("b", "a"))
            await store.sweep()
            assert await chain_ids(store, "b") == ["resp_a", "resp_b"]
            clock.now += 1
            await store.sweep()
            assert await there(store, "ab") == "b"
            with pytest.raises(NotFound) as error:
                await store.chain("resp_b")
            assert error.value.code == "previous_response_not_found"

    asyncio.run(scenario())


def test_a_sweep_clears_a_great_many(place: Path | None) -> None:
    async def scenario() -> None:
        clock = Clock()
        async with opened(place, clock=clock) as store:
            for n in range(250):
                await store.put(sample(f"{n}"))
                await store.remember_turn(StoredTurn((n,), call_ids=(f"chat_{n}",)))
            clock.now += 30 * DAY_S
            await store.sweep()
            stats = await store.stats()
            assert (stats.responses, stats.remembered_turns) == (0, 0)

    asyncio.run(scenario())
    if place is not None:
        assert_sound(place)


def test_a_lowered_bound_holds_after_the_first_sweep(tmp_path: Path) -> None:
    path = tmp_path / "responses.db"

    async def scenario() -> None:
        async with opened(path) as store:
            for n in range(50):
                await store.put(sample(f"{n}", text=TEXT))
        before = path.stat().st_size
        async with opened(path, Bounds(max_items=5)) as store:
            await store.sweep()
            assert (await store.stats()).responses == 5
            assert path.stat().st_size < before / 3

    asyncio.run(scenario())
    assert_sound(path)


def test_deleting_gives_the_bytes_back_and_leaves_no_trace(tmp_path: Path) -> None:
    path = tmp_path / "responses.db"

    async def scenario() -> None:
        async with opened(path) as store:
            await store.put(sample("kept"))
            empty = (await store.stats()).bytes
            await store.create_conversation(StoredConversation("conv", 1, "{}"), [item("m", TEXT)])
            for n in range(20):
                await store.put(sample(f"{n}", text=TEXT))
            await store.put(sample("joined", conversation="conv", text=TEXT))
            full = sum(file.stat().st_size for file in tmp_path.iterdir())
            for n in range(20):
                await store.delete(f"resp_{n}")
            await store.delete("resp_joined")
            await store.delete_conversation("conv")
            assert full > empty + 20 * len(TEXT)
            assert (await store.stats()).bytes <= empty + 5 * 4096
            assert path.stat().st_size <= empty + 5 * 4096
            for file in tmp_path.iterdir():
                assert b"secret" not in file.read_bytes(), file
            assert await store.get("resp_kept") == sample("kept")

    asyncio.run(scenario())
    assert_sound(path)


def test_a_file_rebuilt_without_vacuuming_is_swept_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "responses.db"

    async def scenario() -> None:
        async with opened(path) as store:
            await store.put(sample("kept"))
            await store.put(sample("a", text=TEXT))
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA journal_mode = DELETE")
            connection.execute("PRAGMA auto_vacuum = NONE")
            connection.execute("VACUUM")
        async with opened(path) as store:
            await store.delete("resp_a")
            await store.sweep()
            assert await store.get("resp_kept") == sample("kept")

    asyncio.run(scenario())
