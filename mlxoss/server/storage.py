"""What outlives a request, and a restart: kept responses and the key of sealed contents."""

from __future__ import annotations

import asyncio
import logging
import secrets
import stat
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from mlxoss.config import Config
from mlxoss.core import KEY_BYTES
from mlxoss.errors import StoreDamaged, StoreError, StoreRefused
from mlxoss.files import PRIVATE, make_file
from mlxoss.findings import DaemonProblem
from mlxoss.server.access.api_keys import ApiKeys
from mlxoss.store.opening import open_memory_store, open_store
from mlxoss.store.store import Store
from mlxoss.store.values import Bounds
from mlxoss.turns.context import TurnStorage

logger = logging.getLogger(__name__)

DATABASE = "responses.db"
KEY_FILE = "content.key"

_MEMORY_BYTES = 64 * 1024 * 1024
_VOLATILE_TURNS = 1_000
_VOLATILE_BYTES = 16 * 1024 * 1024
_SWEEP_S = 60.0
_IN_MEMORY = "kept in memory until the daemon ends"


Check = Callable[[], DaemonProblem | None]


class Storage(NamedTuple):
    """What is kept of turns, and the callers' keys.

    ``found`` is what opening it brought to light, ``checks`` tell what is wrong at the moment.
    """

    turns: TurnStorage
    api_keys: ApiKeys
    found: tuple[DaemonProblem, ...] = ()
    checks: tuple[Check, ...] = ()

    def problems(self) -> list[DaemonProblem]:
        """What the owner should know of. Microseconds, on the event loop's thread."""
        at_the_moment = [problem for check in self.checks if (problem := check())]
        return [*self.found, *self.turns.store.problems(), *at_the_moment]

    async def close(self) -> None:
        """Finish what is queued and let the files go."""
        await self.turns.store.close()
        await self.turns.volatile.close()
        await self.api_keys.close()


OpenStorage = Callable[[Config], Storage]


def open_in_memory(config: Config) -> Storage:
    """Storage that ends with the process."""
    store = _open_memory_store(config)
    turns = TurnStorage(store, _open_volatile(), secrets.token_bytes(KEY_BYTES))
    return Storage(turns, ApiKeys(None))


def open_storage(folder: Path, config: Config, checks: tuple[Check, ...] = ()) -> Storage:
    """The storage in ``folder``, made if it is not there.

    With ``responses_store`` off only the key is there: it holds nobody's words, and
    contents that clients keep outlive a restart by it. Blocks as ``open_store``. Where the
    folder cannot be used now (it cannot be written, another process has it) it is in
    memory, as far as need be, and says so. Raises StoreError, with what to do about it, when a
    file is damaged or not for this version, and where keys cannot be read: nobody may be let
    in for that.
    """
    found: list[DaemonProblem] = []
    api_keys = ApiKeys(folder)
    if api_keys.problem is not None:
        what = "This machine's own commands count as strangers where keys are needed"
        found.append(_to_problem("data_folder", what, api_keys.problem))
    key = _load_or_make_key(folder / KEY_FILE, found)
    if config.responses_store == "off":
        store = _open_memory_store(config)
    else:
        store = _open_store_or_stand_in(folder / DATABASE, config, found)
    for problem in found:
        logger.error("%s %s", problem.message, problem.remedy)
    return Storage(TurnStorage(store, _open_volatile(), key), api_keys, tuple(found), checks)


def _load_or_make_key(path: Path, found: list[DaemonProblem]) -> bytes:
    try:
        return load_key(path)
    except StoreDamaged:
        raise
    except StoreError as error:
        found.append(
            _to_problem("content_key", f"The key of sealed contents is {_IN_MEMORY}", error)
        )
        return secrets.token_bytes(KEY_BYTES)


def _open_store_or_stand_in(path: Path, config: Config, found: list[DaemonProblem]) -> Store:
    try:
        return open_store(path, _bounds(config), time.time)
    except StoreRefused:
        raise
    except StoreError as error:
        found.append(_to_problem("store_in_memory", f"Responses are {_IN_MEMORY}", error))
        return _open_memory_store(config, stands_in=True)


def _to_problem(code: str, what: str, error: StoreError) -> DaemonProblem:
    remedy = "Mend that, then `mlxoss restart`."
    return DaemonProblem(code, f"{what}: {error}", remedy, time.time())


def _open_memory_store(config: Config, *, stands_in: bool = False) -> Store:
    bounds = _bounds(config)
    bounds = replace(bounds, max_bytes=min(bounds.max_bytes, _MEMORY_BYTES))
    return open_memory_store(bounds, time.time, stands_in=stands_in)


def _open_volatile() -> Store:
    return open_memory_store(
        Bounds(max_items=_VOLATILE_TURNS, max_bytes=_VOLATILE_BYTES), time.time
    )


def load_key(path: Path) -> bytes:
    """The key in the file ``path``, a new one if there is none. Its owner's alone (0600)."""
    try:
        if not path.exists():
            make_file(path, secrets.token_bytes(KEY_BYTES))  # whole or not at all, the first stays
        elif stat.S_IMODE(path.stat().st_mode) != PRIVATE:
            path.chmod(PRIVATE)
        key = path.read_bytes()
    except OSError as error:
        raise StoreError(f"The key {path} cannot be used: {error.strerror or error}.") from error
    if len(key) != KEY_BYTES:
        raise StoreDamaged(
            f"The key {path} is damaged: it has {len(key)} bytes, not {KEY_BYTES}. Remove it to "
            "start with a new one; contents sealed under the old one cannot be read then."
        )
    return key


def _bounds(config: Config) -> Bounds:
    return Bounds(
        max_items=config.responses_store_max_items, max_bytes=config.responses_store_max_bytes
    )


async def sweep_forever(store: Store) -> None:
    """Forget what is past its time, now and every minute."""
    while True:
        try:
            await store.sweep()
        except StoreError as error:
            logger.warning("old responses could not be removed: %s", error)
        await asyncio.sleep(_SWEEP_S)
