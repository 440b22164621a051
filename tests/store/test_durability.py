"""A process dies at a random moment under load: what it was told is kept, is."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlxoss.errors import NotFound
from mlxoss.store.store import Store
from mlxoss.store.values import Failure, Status, StoredResponse
from tests.support.store import writer
from tests.support.store.samples import assert_sound, opened

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
KILLS = 50
NUMBERS_PER_LIFE = 100_000


def live_and_die(path: Path, first: int, rng: random.Random) -> list[tuple[str, int]]:
    """Run the writer, kill it at a random moment, and return what it had confirmed.

    That is up to 0.1 s after one of its first confirmations, or after it has set out
    to open the store, so that opening is interrupted as well.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.store.writer", str(path), str(first)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process:
        assert process.stdout.readline() == "ready 0\n"
        lines = [process.stdout.readline() for _ in range(rng.choice((0, 0, 1, 2, 5, 10, 20)))]
        time.sleep(rng.uniform(0, 0.1))
        process.kill()
        lines += process.stdout.readlines()
    assert process.returncode == -9
    # A line cut off by the kill was not said.
    confirmed = [line.split() for line in lines if line.endswith("\n")]
    return [(kind, int(number)) for kind, number in confirmed]


async def check(store: Store, kind: str, number: int) -> None:
    """What ``kind`` confirmed about response ``number`` is so."""
    response_id = f"resp_{number}"
    match kind:
        case "put":
            assert await store.get(response_id) == writer.plain(number)
        case "begun":
            assert (await store.get(response_id)).input_items == writer.running(number).input_items
        case "streamed":
            page = await store.read_events(response_id)
            assert list(page.events)[:4] == writer.events(number)[:4]
        case "ended":
            assert await store.get(response_id) == writer.ended(number)
            page = await store.read_events(response_id)
            assert list(page.events) == writer.events(number)
        case "joined":
            response = writer.joined(number)
            assert await store.get(response_id) == response
            history = await store.history(f"conv_{number}")
            assert history.items[1:] == response.input_items + response.output_items
            assert history.turns == response.turns
        case "deleted":
            with pytest.raises(NotFound):
                await store.get(response_id)


async def check_all(path: Path, confirmed: list[tuple[str, int]]) -> int:
    """Open as a daemon does and check everything; how many responses were interrupted."""

    def to_failed(response: StoredResponse, sequence: int) -> Failure:
        assert response == writer.running(int(response.id.removeprefix("resp_")))
        assert 1 <= sequence <= 4
        return Failure("{}")

    async with opened(path) as store:
        interrupted = await store.fail_interrupted(to_failed)
        for kind, number in confirmed:
            await check(store, kind, number)
        for response_id in interrupted:
            assert (await store.get(response_id)).status is Status.FAILED
    return len(interrupted)


def test_nothing_confirmed_is_lost_when_the_process_is_killed(
    tmp_path: Path, rng: random.Random
) -> None:
    path = tmp_path / "responses.db"
    total = 0
    for life in range(KILLS):
        confirmed = live_and_die(path, life * NUMBERS_PER_LIFE, rng)
        asyncio.run(check_all(path, confirmed))
        assert_sound(path)
        total += len(confirmed)
    assert total > KILLS
