"""The wall clock jumps: nothing is lost for it, and nothing is kept for ever."""

from __future__ import annotations

import asyncio
from pathlib import Path

from mlxoss.store.calendar import DOUBT_S
from mlxoss.store.store import Store
from mlxoss.store.values import Bounds, StoredConversation
from tests.support.clock import Clock
from tests.support.store.samples import opened, sample

DAY_S = 86_400.0


async def pass_by(store: Store, clock: Clock, steady: Clock, seconds: float) -> None:
    """Time passes, with a sweep now and then."""
    steps = int(seconds // 1800) + 1
    for _ in range(steps):
        clock.now += seconds / steps
        steady.now += seconds / steps
        await store.sweep()


def test_what_is_kept_after_the_clock_went_back_is_not_the_first_to_go(place: Path | None) -> None:
    async def scenario() -> None:
        clock = Clock(1_000 * DAY_S)
        async with opened(place, Bounds(max_items=3), clock) as store:
            for name in ("before0", "before1", "before2", "after0", "after1"):
                if name == "after0":
                    clock.now = 10 * DAY_S
                clock.now += 1
                await store.put(sample(name))
            for name in ("before2", "after0", "after1"):
                await store.get(f"resp_{name}")
            assert (await store.stats()).responses == 3

    asyncio.run(scenario())


def test_what_was_kept_while_the_clock_was_ahead_goes_in_its_time(place: Path | None) -> None:
    async def scenario() -> None:
        clock, steady = Clock(50_000 * DAY_S), Clock(5.0)
        async with opened(place, None, clock, steady) as store:
            await store.put(sample("ahead"))
            await store.remember_turn(sample("turn").turns[0])
            await store.create_conversation(StoredConversation("conv_1", 1, "{}"))
            clock.now = 20_000 * DAY_S
            await pass_by(store, clock, steady, 29.9 * DAY_S)
            stats = await store.stats()
            assert (stats.responses, stats.remembered_turns) == (1, 1)
            assert store.problems() == []
            await pass_by(store, clock, steady, 0.2 * DAY_S)
            stats = await store.stats()
            assert (stats.responses, stats.remembered_turns) == (0, 0)

    asyncio.run(scenario())


def test_a_clock_that_leaps_forward_removes_nothing_for_a_day(place: Path | None) -> None:
    async def scenario() -> None:
        clock, steady = Clock(20_000 * DAY_S), Clock(5.0)
        async with opened(place, None, clock, steady) as store:
            await store.put(sample("a"))
            await pass_by(store, clock, steady, 100)
            clock.now += 400 * DAY_S
            await pass_by(store, clock, steady, DOUBT_S - 100)
            (problem,) = store.problems()
            assert problem.code == "clock_leapt"
            assert "forward by 9600 hours" in problem.message
            await store.get("resp_a")
            # Somebody put it right: all is as before.
            clock.now -= 400 * DAY_S
            await pass_by(store, clock, steady, 100)
            assert store.problems() == []
            await store.get("resp_a")
            # It leaps for good: what it says is old is removed after all.
            clock.now += 400 * DAY_S
            await pass_by(store, clock, steady, DOUBT_S + 3600)
            assert store.problems() == []
            assert (await store.stats()).responses == 0

    asyncio.run(scenario())
