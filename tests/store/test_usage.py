"""Tokens by day and client: added up, kept for their time, gone with the file."""

from __future__ import annotations

import asyncio
import datetime
from contextlib import closing
from pathlib import Path

from mlxoss.store.file import connect_writer, prepare_file
from mlxoss.store.migrations import MIGRATIONS
from mlxoss.store.usage import KEPT_DAYS, first_day, read_file
from mlxoss.store.values import TokenCounts, UsageKey, UsageRow
from tests.support.clock import Clock
from tests.support.store.samples import opened, sample

DAY_S = 86_400.0
NOW = 20_000 * DAY_S + DAY_S / 2


def row(day: str, client: str = "codex", endpoint: str = "chat", times: int = 1) -> UsageRow:
    counts = TokenCounts(times, 10 * times, 4 * times, 5 * times, 2 * times)
    return UsageRow(UsageKey(day, client, endpoint), counts)


def day_before(now: float, days: int) -> str:
    today = datetime.datetime.fromtimestamp(now).date()
    return (today - datetime.timedelta(days=days)).isoformat()


def test_counts_add_up(place: Path | None) -> None:
    async def scenario() -> None:
        today, yesterday = day_before(NOW, 0), day_before(NOW, 1)
        async with opened(place, None, Clock(NOW)) as store:
            await store.add_usage([row(today), row(today, "curl"), row(yesterday)])
            await store.add_usage([row(today, times=2), row(today, endpoint="messages")])
            expected = (row(today, times=3), row(today, endpoint="messages"), row(today, "curl"))
            assert await store.usage(1) == expected
            assert await store.usage(2) == (row(yesterday), *expected)
            assert await store.usage(KEPT_DAYS) == await store.usage(2)

    asyncio.run(scenario())


def test_they_outlive_the_process_and_can_be_read_without_one(tmp_path: Path) -> None:
    path, today = tmp_path / "responses.db", day_before(NOW, 0)

    async def keep() -> None:
        async with opened(path, None, Clock(NOW)) as store:
            await store.add_usage([row(today)])
            assert read_file(path, today) == (row(today),)

    async def read() -> None:
        async with opened(path, None, Clock(NOW)) as store:
            assert await store.usage(1) == (row(today),)

    asyncio.run(keep())
    assert read_file(path, today) == (row(today),)
    assert read_file(path, day_before(NOW, -1)) == ()
    asyncio.run(read())


def test_a_database_of_before_has_none_and_gets_them(tmp_path: Path) -> None:
    path, today = tmp_path / "responses.db", day_before(NOW, 0)
    prepare_file(path, MIGRATIONS[:3], NOW)
    with closing(connect_writer(path)) as connection:
        assert (
            connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'usage'").fetchall() == []
        )
    assert read_file(path, today) == ()

    async def scenario() -> None:
        async with opened(path, None, Clock(NOW)) as store:
            assert await store.usage(1) == ()
            await store.add_usage([row(today)])
            assert await store.usage(1) == (row(today),)

    asyncio.run(scenario())


def test_days_go_in_their_time_whatever_else_is_kept(place: Path | None) -> None:
    async def scenario() -> None:
        clock = Clock(NOW)
        days = [day_before(NOW, before) for before in (KEPT_DAYS, KEPT_DAYS - 1, 1)]
        async with opened(place, None, clock) as store:
            await store.add_usage([row(day) for day in days])
            await store.put(sample("a"))
            await store.sweep()
            assert [each.key.day for each in await store.usage(10_000)] == days[1:]
            assert (await store.stats()).responses == 1

    asyncio.run(scenario())


def test_a_day_begins_at_midnight_here() -> None:
    midnight = datetime.datetime(2026, 3, 1).timestamp()
    assert first_day(midnight, 1) == "2026-03-01"
    assert first_day(midnight - 1, 1) == "2026-02-28"
    assert first_day(midnight, 3) == "2026-02-27"
