"""The events of background responses: kept, replayed, dropped; and what a crash leaves."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from mlxoss.errors import NotFound
from mlxoss.store.values import Event, Failure, Status, StoredResponse
from tests.support.clock import Clock
from tests.support.store.samples import assert_sound, opened, sample

RUNNING = sample("a", status=Status.IN_PROGRESS)


def events(first: int, last: int) -> list[Event]:
    return [Event(n, f'{{"n":{n}}}') for n in range(first, last + 1)]


def test_events_are_replayed_from_any_number(place: Path | None) -> None:
    async def scenario() -> None:
        async with opened(place) as store:
            await store.put(RUNNING, events(0, 1))
            for n in range(2, 9):
                assert await store.append_events("resp_a", events(n, n))
            assert await store.update(sample("a"), events(9, 10))
            for after in range(-1, 12):
                page = await store.read_events("resp_a", after)
                assert list(page.events) == events(after + 1, 10)
                assert (page.status, page.has_more, page.dropped) == (
                    Status.COMPLETED,
                    False,
                    False,
                )
            page = await store.read_events("resp_a", 3, limit=2)
            assert list(page.events) == events(4, 5)
            assert page.has_more
            page = await store.read_events("resp_a", 8, limit=2)
            assert not page.has_more

    asyncio.run(scenario())


def test_events_are_only_for_what_runs(place: Path | None) -> None:
    async def scenario() -> None:
        async with opened(place) as store:
            assert not await store.append_events("resp_a", events(0, 0))
            await store.put(RUNNING)
            await store.update(sample("a"))
            assert not await store.append_events("resp_a", events(0, 0))
            await store.delete("resp_a")
            with pytest.raises(NotFound):
                await store.read_events("resp_a")

    asyncio.run(scenario())


def test_a_follower_sees_every_event_and_the_end(place: Path | None) -> None:
    """The end and the last event are one write: who sees the one has the other."""

    async def scenario() -> None:
        async with opened(place) as store:
            await store.put(RUNNING)

            async def follow() -> list[Event]:
                seen: list[Event] = []
                while True:
                    after = seen[-1].sequence if seen else -1
                    page = await store.read_events("resp_a", after, limit=3)
                    seen += page.events
                    if page.status.ended and not page.has_more:
                        return seen

            followers = [asyncio.create_task(follow()) for _ in range(3)]
            for n in range(50):
                await store.append_events("resp_a", events(n, n))
            await store.update(sample("a"), events(50, 50))
            for follower in followers:
                assert await follower == events(0, 50)

    asyncio.run(scenario())


def test_events_are_dropped_some_time_after_the_end(place: Path | None) -> None:
    async def scenario() -> None:
        clock = Clock()
        async with opened(place, clock=clock) as store:
            await store.put(RUNNING, events(0, 5))
            clock.now += 1000
            await store.sweep()
            assert not (await store.read_events("resp_a")).dropped
            await store.update(sample("a"), events(6, 6))
            clock.now += 599
            await store.sweep()
            assert len((await store.read_events("resp_a")).events) == 7
            clock.now += 1
            await store.sweep()
            page = await store.read_events("resp_a")
            assert (page.events, page.dropped) == ((), True)
            assert (await store.get("resp_a")).output_items == sample("a").output_items

    asyncio.run(scenario())


def test_what_a_dead_process_left_running_has_failed(tmp_path: Path) -> None:
    path = tmp_path / "responses.db"
    queued = sample("q", status=Status.QUEUED)
    brief = replace(sample("s", status=Status.IN_PROGRESS), stored=False)
    clock = Clock()

    async def first() -> None:
        async with opened(path) as store:
            await store.put(queued)
            await store.put(sample("done"))
            await store.put(RUNNING, events(0, 4))
            await store.put(brief)

    def to_failed(response: StoredResponse, sequence: int) -> Failure:
        return Failure(f'{{"failed":"{response.id}"}}', Event(sequence, "failed"))

    async def second() -> None:
        async with opened(path, clock=clock) as store:
            assert await store.fail_interrupted(to_failed) == ("resp_q", "resp_a", "resp_s")
            failed = replace(RUNNING, status=Status.FAILED, object_json='{"failed":"resp_a"}')
            assert await store.get("resp_a") == failed
            page = await store.read_events("resp_a")
            assert list(page.events) == [*events(0, 4), Event(5, "failed")]
            assert (await store.read_events("resp_q")).events == (Event(0, "failed"),)
            assert await store.get("resp_done") == sample("done")
            assert await store.fail_interrupted(to_failed) == ()
            clock.now += 600
            await store.sweep()
            with pytest.raises(NotFound):
                await store.get("resp_s")

    asyncio.run(first())
    asyncio.run(second())
    assert_sound(path)
