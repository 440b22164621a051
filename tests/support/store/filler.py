"""A process whose store has too little room, whatever the reason.

``python -m tests.support.store.filler PATH limit`` may write no file beyond 600 kB;
``... PATH mount`` runs in a folder of its own that holds 1 MB (Linux, in a user and
mount namespace). It fills the store until it is refused, then makes room, and
checks that everything kept is whole and the store works on.
"""

from __future__ import annotations

import asyncio
import resource
import subprocess
import sys
import time
from pathlib import Path

from mlxoss.errors import StoreError
from mlxoss.store.opening import open_store
from mlxoss.store.store import Store
from mlxoss.store.values import Bounds
from tests.support.store.samples import sample

LIMIT_BYTES = 600_000
TEXT = "text " * 2_000


def narrow(path: Path, how: str) -> None:
    """Leave little room for ``path``."""
    if how == "limit":
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT_BYTES, hard))
    else:
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(path.parent)], check=True
        )


def widen(path: Path, how: str) -> None:
    """Give room again."""
    if how == "limit":
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    else:
        subprocess.run(["mount", "-o", "remount,size=8m", str(path.parent)], check=True)


async def fill(store: Store) -> tuple[int, StoreError]:
    """Put until it is refused: how many were kept, and the refusal."""
    for count in range(1000):
        try:
            await store.put(sample(f"{count}", text=TEXT))
        except StoreError as error:
            return count, error
    raise AssertionError("the store took more than there is room for")


async def check(store: Store, count: int) -> None:
    """The first ``count`` are whole; the one that was refused is not there."""
    for n in range(count):
        assert await store.get(f"resp_{n}") == sample(f"{n}", text=TEXT)
    assert (await store.stats()).responses == count


async def main(path: Path, how: str) -> None:
    narrow(path, how)
    store = open_store(path, Bounds(), time.time)
    count, error = await fill(store)
    assert count > 5
    assert str(path) in str(error)
    await check(store, count)
    widen(path, how)
    await store.put(sample(f"{count}", text=TEXT))
    await check(store, count + 1)
    await store.close()
    store = open_store(path, Bounds(), time.time)
    await check(store, count + 1)
    await store.close()
    sys.stdout.write(f"{type(error).__name__} after {count}\n")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
