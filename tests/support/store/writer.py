"""A process that writes to a store without pause, to be killed.

``python -m tests.support.store.writer PATH FIRST`` numbers its responses from FIRST on. It
prints ``ready`` before it opens the store, then a line for everything it was told is
kept: ``KIND NUMBER``.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from mlxoss.store.opening import open_store
from mlxoss.store.store import Store
from mlxoss.store.values import Bounds, Event, Status, StoredConversation, StoredResponse
from tests.support.store.samples import item, sample

TEXT = "text " * 500


def plain(number: int) -> StoredResponse:
    """What ``put`` keeps."""
    return sample(f"{number}", text=TEXT)


def running(number: int) -> StoredResponse:
    """What ``begun`` keeps."""
    return sample(f"{number}", status=Status.IN_PROGRESS, text=TEXT)


def ended(number: int) -> StoredResponse:
    """What ``ended`` keeps."""
    return replace(sample(f"{number}", text=TEXT), background=True)


def joined(number: int) -> StoredResponse:
    """What ``joined`` keeps, in the conversation of that number."""
    return sample(f"{number}", conversation=f"conv_{number}", text=TEXT)


def events(number: int) -> list[Event]:
    """The events of ``running(number)``; the last one comes with its end."""
    return [Event(n, f"{number}.{n}") for n in range(5)]


def say(kind: str, number: int) -> None:
    sys.stdout.write(f"{kind} {number}\n")
    sys.stdout.flush()


async def put(store: Store, number: int) -> None:
    await store.put(plain(number))
    say("put", number)


async def run(store: Store, number: int) -> None:
    await store.put(running(number), events(number)[:1])
    say("begun", number)
    for event in events(number)[1:-1]:
        await store.append_events(f"resp_{number}", [event])
    say("streamed", number)
    await store.update(ended(number), events(number)[-1:])
    say("ended", number)


async def converse(store: Store, number: int) -> None:
    await store.create_conversation(
        StoredConversation(f"conv_{number}", 1, "{}"), [item(f"m{number}")]
    )
    await store.put(joined(number))
    say("joined", number)


async def forget(store: Store, number: int) -> None:
    await store.put(plain(number))
    await store.delete(f"resp_{number}")
    say("deleted", number)


async def client(store: Store, numbers: Iterator[int]) -> None:
    """One client: the four kinds of work by turns, for ever."""
    for work in itertools.cycle((put, run, converse, forget)):
        await work(store, next(numbers))


async def main() -> None:
    say("ready", 0)
    store = open_store(Path(sys.argv[1]), Bounds(), time.time)
    numbers = itertools.count(int(sys.argv[2]))
    await asyncio.gather(*(client(store, numbers) for _ in range(4)))


if __name__ == "__main__":
    asyncio.run(main())
