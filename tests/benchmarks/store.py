"""What it costs to put a response and to read it back, in a store that is at its bound.

Run with ``python -m tests.benchmarks.store``. A database of ``--stored`` responses
is filled in chains of ``--links``, each response with ``--tokens`` token ids and as
much text; then each operation is timed ``--rounds`` times. Every put at the bound
also evicts. The busy rows time reads while a client puts without pause and another
appends events.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from mlxoss.store.opening import open_memory_store, open_store
from mlxoss.store.store import Store
from mlxoss.store.values import Bounds, Event, Item, Response, Status, StoredTurn

TODAY = datetime.date(2026, 1, 1)
CHARS_PER_TOKEN = 4
OBJECT_CHARS = 8_000
"""Instructions and tools: what a coding client sends with every request, and more."""


def make_response(number: int, tokens: int, previous: str | None, rng: random.Random) -> Response:
    """A response with one reasoning item and one call, its text as long as its ids."""
    ids = tuple(rng.choices(range(200_000), k=tokens))
    text = "x" * (tokens * CHARS_PER_TOKEN // 2)
    reasoning, call = f"rs_{number:032}", f"fc_{number:032}"
    return Response(
        id=f"resp_{number:032}",
        created_at=number,
        status=Status.COMPLETED,
        date=TODAY,
        object_json="o" * OBJECT_CHARS,
        input_items=(Item(f"msg_{number:032}", text),),
        output_items=(Item(reasoning, text), Item(call, text)),
        turns=(StoredTurn(ids, (reasoning, call), (f"call_{number:032}",)),),
        previous_response_id=previous,
    )


async def fill(store: Store, options: argparse.Namespace, rng: random.Random) -> None:
    """Put ``--stored`` responses, in chains."""
    previous = None
    for number in range(options.stored):
        previous = None if number % options.links == 0 else previous
        response = make_response(number, options.tokens, previous, rng)
        await store.put(response)
        previous = response.id


async def timed(rounds: int, operation: Callable[[int], Awaitable[object]]) -> list[float]:
    """Milliseconds of each of ``rounds`` calls."""
    times = []
    for number in range(rounds):
        begin = time.perf_counter()
        await operation(number)
        times.append(1000 * (time.perf_counter() - begin))
    return times


def report(name: str, times: list[float]) -> None:
    """Print one row of the table."""
    p99 = statistics.quantiles(times, n=100)[98]
    print(f"| {name:38} | {statistics.median(times):8.2f} | {p99:8.2f} | {max(times):8.2f} |")


async def measure(store: Store, options: argparse.Namespace, rng: random.Random) -> None:
    """Time and print every row."""
    print(f"| {'operation':38} | {'p50 ms':>8} | {'p99 ms':>8} | {'max ms':>8} |")
    print(f"|{'-' * 40}|{'-' * 10}|{'-' * 10}|{'-' * 10}|")
    first_new = options.stored
    responses = [
        make_response(first_new + number, options.tokens, None, rng)
        for number in range(options.rounds)
    ]
    # The newest quarter: what the puts of the benchmark itself do not evict.
    kept = [f"resp_{number:032}" for number in range(3 * options.stored // 4, options.stored)]
    report("put, at the bound", await timed(options.rounds, lambda n: store.put(responses[n])))
    report("get", await timed(options.rounds, lambda _: store.get(rng.choice(kept))))
    calls = [name.replace("resp_", "call_") for name in kept]
    report(
        "turns of 30 calls",
        await timed(options.rounds, lambda _: store.turns_of_calls(rng.sample(calls, 30))),
    )
    tails = [name for name in kept if int(name[5:]) % options.links == options.links - 1]
    report(
        f"chain of {options.links}",
        await timed(options.rounds, lambda _: store.chain(rng.choice(tails))),
    )
    await measure_busy(store, options, rng, kept)


async def measure_busy(
    store: Store, options: argparse.Namespace, rng: random.Random, kept: list[str]
) -> None:
    """Time event appends and reads against a client that puts without pause."""
    number = options.stored + options.rounds
    running = Response("resp_running", 0, Status.IN_PROGRESS, TODAY, "{}", background=True)
    await store.put(running)

    async def append(sequence: int) -> None:
        await store.append_events(running.id, [Event(sequence, "e" * 200)])

    report("append an event", await timed(options.rounds, append))

    async def keep_putting() -> None:
        nonlocal number
        while True:
            await store.put(make_response(number, options.tokens, None, rng))
            number += 1

    putting = asyncio.create_task(keep_putting())
    times = await timed(options.rounds, lambda _: store.get(rng.choice(kept)))
    report("get, while putting", times)
    putting.cancel()


async def main() -> None:
    """Parse the options, fill, measure, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--stored", type=int, default=10_000)
    parser.add_argument("--links", type=int, default=20)
    parser.add_argument("--tokens", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("--memory", action="store_true")
    options = parser.parse_args()
    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        path = None if options.memory else Path(folder) / "responses.db"
        bounds = Bounds(max_items=options.stored)
        opened = open_store(path, bounds, time.time) if path else None
        store = opened or open_memory_store(bounds, time.time)
        begin = time.perf_counter()
        await fill(store, options, rng)
        filled_s = time.perf_counter() - begin
        stats = await store.stats()
        print(f"{stats.responses} responses, {stats.bytes / 1e6:.0f} MB, in {filled_s:.1f} s\n")
        await measure(store, options, rng)
        await store.close()
        if path is not None:
            begin = time.perf_counter()
            store = open_store(path, bounds, time.time)
            print(f"\nopen, with its check: {1000 * (time.perf_counter() - begin):.0f} ms")
            await store.close()


if __name__ == "__main__":
    asyncio.run(main())
