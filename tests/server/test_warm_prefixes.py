"""What most conversations begin with is computed after a load, before anybody asks."""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from mlxoss.engine.backend import PrefixCacheStatus
from mlxoss.harmony.boundaries import USER
from mlxoss.harmony.encoding import Encoding
from mlxoss.turns.ahead.table import (
    LEAST_TOKENS,
    MOST_COUNTED,
    MOST_PREFIXES,
    MOST_TOKENS,
    PrefixTable,
)
from mlxoss.turns.ahead.warming import Ahead
from tests.support.fakes import ScriptedBackend
from tests.support.http import ask
from tests.support.server.harness import DATE, Server, ask_chat, running
from tests.support.server.scripts import HELLO, always
from tests.support.waiting import HANG_S, until

LONG = "Be kind to trolls. " * 80
EMPTY = PrefixCacheStatus(entries=0, bytes=0, limit_bytes=1000, hits=0, hit_tokens=0)


@dataclass
class Keeping(ScriptedBackend):
    """A backend that has a prefix cache, of which it tells ``kept``."""

    kept: PrefixCacheStatus = EMPTY

    @property
    def prefix_cache(self) -> PrefixCacheStatus | None:
        return self.kept


@dataclass
class Place:
    """A server over several of its lives, and what its backends did."""

    encoding: Encoding
    path: Path
    kept: PrefixCacheStatus = EMPTY
    mains: threading.Event = field(default_factory=threading.Event)
    backends: list[Keeping] = field(default_factory=list)

    def load(self) -> Keeping:
        script = always(self.encoding, HELLO)
        self.backends.append(Keeping(script, warm_steps=3, kept=self.kept))
        return self.backends[-1]

    @contextmanager
    def serve(self) -> Iterator[Server]:
        ahead = Ahead(PrefixTable(self.path), self.mains.is_set)
        with running(self.load, lambda: self.encoding, ahead=ahead) as server:
            yield server
            asyncio.run_coroutine_threadsafe(ahead.table.saved(), server.loop).result(HANG_S)

    @property
    def warmed(self) -> list[tuple[int, ...]]:
        """All but what answers left: that ends with the next one's header."""
        return [ids for ids in self.backends[-1].warmed if ids[-1] == USER]


@pytest.fixture
def place(encoding: Encoding, tmp_path: Path) -> Place:
    place = Place(encoding, tmp_path / "prefixes.json")
    place.mains.set()
    return place


def say(server: Server, text: str, system: str = LONG, **fields: Any) -> None:
    messages = [{"role": "system", "content": system}, {"role": "user", "content": text}]
    assert ask_chat(server, messages=messages, **fields).status == 200


def warm_now(server: Server) -> int:
    answer = ask(server, "POST", "/mlxoss/load?warm=true")
    assert (answer.status, answer.json["status"]) == (200, "ok")
    count: int = answer.json["warmed"]
    return count


def test_a_start_computes_what_two_conversations_began_with(place: Place) -> None:
    with place.serve() as server:
        say(server, "Hello!")
        say(server, "Hello!", reasoning_effort="high")
        assert warm_now(server) == 0
        say(server, "Good day!")
        assert warm_now(server) == 1
    with place.serve() as server:
        until(lambda: len(place.warmed) == 3)
        say(server, "Are you there?")
        prompt = place.backends[-1].inserted[-1].prompt_ids
        (warmed,) = set(place.warmed)
        assert prompt[: len(warmed)] == warmed
        assert len(warmed) > LEAST_TOKENS
        assert warm_now(server) == 1


def test_a_reload_does_too(place: Place) -> None:
    with place.serve() as server:
        for text in ("Hello!", "Good day!"):
            say(server, text)
        for count in (2, 3):
            ask(server, "POST", "/mlxoss/unload")
            say(server, "Hello!")
            assert len(place.backends) == count
            until(lambda: len(place.warmed) == 3)


def test_the_day_is_the_present_one(place: Place) -> None:
    with place.serve() as server:
        for text in ("Hello!", "Good day!"):
            say(server, text)
        later = replace(server.services.config, date=DATE.replace(year=2031))
        server.services.turns.config = later
        assert warm_now(server) == 1
        assert "2031" in place.encoding.decode(place.warmed[0])


def test_a_conversation_that_goes_on_counts_once(place: Place) -> None:
    with place.serve() as server:
        for _ in range(3):
            say(server, "Hello!")
        assert warm_now(server) == 0


def test_not_on_battery_unless_it_is_asked_for(place: Place) -> None:
    with place.serve() as server:
        for text in ("Hello!", "Good day!"):
            say(server, text)
    place.mains.clear()
    with place.serve() as server:
        until(lambda: server.services.turns.warmer.is_waiting)
        assert place.warmed == []
        assert warm_now(server) == 1
        assert place.warmed
    with place.serve() as server:
        until(lambda: server.services.turns.warmer.is_waiting)
        assert place.warmed == []
        place.mains.set()
        until(lambda: len(place.warmed) == 3)


def test_a_full_cache_takes_no_more(place: Place) -> None:
    place.kept = replace(EMPTY, bytes=501)
    with place.serve() as server:
        for text in ("Hello!", "Good day!"):
            say(server, text)
        assert warm_now(server) == 0


def test_without_it_nothing_is_counted(encoding: Encoding) -> None:
    backend = Keeping(always(encoding, HELLO))
    with running(lambda: backend, lambda: encoding) as server:
        for text in ("Hello!", "Good day!"):
            say(server, text)
        assert warm_now(server) == 0
    assert not any(ids[-1] == USER for ids in backend.warmed)


@pytest.mark.parametrize("query", ["warm=maybe", "warm="])
def test_a_wrong_flag_is_named(place: Place, query: str) -> None:
    with place.serve() as server:
        answer = ask(server, "POST", f"/mlxoss/load?{query}")
    assert (answer.status, answer.error["param"]) == (400, "warm")


@pytest.mark.parametrize("head", [[7], [200_008, 7, 200_007], [200_008, 201_087, 200_007]])
def test_what_no_prompt_begins_with_is_passed_over(place: Place, head: list[int]) -> None:
    make_table(place.path, {(*head, *[7] * LEAST_TOKENS): 3}, time.time)
    assert read(place.path, time.time)
    with place.serve() as server:
        assert warm_now(server) <= 1
        for text in ("Hello!", "Good day!"):
            say(server, text)
        assert warm_now(server) >= 1


Now = Callable[[], float]


def ids(number: int, length: int = LEAST_TOKENS) -> tuple[int, ...]:
    return (number, *[7] * (length - 1))


def make_table(path: Path, counts: dict[tuple[int, ...], int], now: Now = lambda: 0.0) -> None:
    """A file of prefixes, each with so many conversations."""

    async def count() -> None:
        table = PrefixTable(path, now)
        for each, conversations in counts.items():
            for opening in range(conversations):
                table.count(each, opening)
        await table.saved()

    asyncio.run(count())


def read(path: Path, now: Now = lambda: 0.0) -> list[tuple[int, ...]]:
    return PrefixTable(path, now).most_used()


def test_the_most_used_come_first_and_are_few(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201
    counts = {ids(number): number for number in range(1, MOST_PREFIXES + 4)}
    shuffled = random.Random(seed).sample(sorted(counts), len(counts))
    path = tmp_path / "table.json"
    make_table(path, {each: counts[each] for each in shuffled})
    found = read(path)
    assert len(found) == MOST_PREFIXES
    assert set(found) <= {each for each, count in counts.items() if count >= 2}
    assert path.stat().st_mode & 0o777 == 0o600


def test_together_they_are_short(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    make_table(path, {ids(1, MOST_TOKENS - 300): 9, ids(2, 400): 3, ids(3, 300): 2})
    assert read(path) == [ids(1, MOST_TOKENS - 300), ids(3, 300)]
    make_table(path, {ids(1, LEAST_TOKENS - 1): 9, ids(1, MOST_TOKENS + 1): 9})
    assert ids(1, MOST_TOKENS + 1) not in read(path)


def test_new_ones_take_the_place_of_old_ones(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    make_table(path, {ids(number): 3 for number in range(MOST_COUNTED + 9)})
    table = PrefixTable(path, lambda: 0.0)
    assert len(table) == MOST_COUNTED
    assert table.most_used()[0] == ids(MOST_COUNTED + 8)


def test_after_thirty_days_without_use_they_are_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    make_table(path, {ids(1): 3})
    assert read(path, lambda: 29 * 86400.0) == [ids(1)]
    assert read(path, lambda: 31 * 86400.0) == []


DAMAGED = {
    "no JSON": b"{",
    "no bytes": b"",
    "not UTF-8": b"\xff\xfe",
    "no object": b"[]",
    "another version": b'{"version": 9, "prefixes": []}',
    "no prefixes": b'{"version": 1}',
    "no list": b'{"version": 1, "prefixes": 3}',
    "other entries": b'{"version": 1, "prefixes": [[1]]}',
    "no tokens": b'{"version": 1, "prefixes": [[1, 2, 0, ["a"]]]}',
    "foreign tokens": b'{"version": 1, "prefixes": [[1, 2, 0, [-1]]]}',
    "a score of words": b'{"version": 1, "prefixes": [["x", 2, 0, [1]]]}',
    "no number": b'{"version": 1, "prefixes": [[1, NaN, 0, [1]]]}',
    "deep": b'{"version":' + b"[" * 100_000,
    "large": b" " * (5 << 20),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_file_counts_as_none(tmp_path: Path, case: str) -> None:
    path = tmp_path / "table.json"
    path.write_bytes(DAMAGED[case])
    assert read(path) == []
    make_table(path, {ids(1): 3})
    assert json.loads(path.read_bytes())["version"] == 1
    assert read(path) == [ids(1)]


def test_a_folder_that_cannot_be_written_is_told_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def count() -> None:
        table = PrefixTable(tmp_path / "none" / "table.json")
        for opening in range(5):
            table.count(ids(1), opening)
            await table.saved()
        assert table.most_used() == [ids(1)]

    asyncio.run(count())
    assert caplog.text.count("is not kept") == 1
