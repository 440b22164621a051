"""What outlives a request, and a restart: kept responses and the key of sealed contents."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from mlxoss.config import Config
from mlxoss.errors import StoreError
from mlxoss.server.keyring import Keyring
from mlxoss.store.opening import open_store
from mlxoss.store.store import Store
from mlxoss.store.values import Bounds, Failure, Response

logger = logging.getLogger(__name__)

DATABASE = "responses.db"
KEY_FILE = "content.key"
KEY_BYTES = 32

_MEMORY_BYTES = 64 * 1024 * 1024
_PASSING_TURNS = 1_000
_PASSING_BYTES = 16 * 1024 * 1024
_SWEEP_S = 60.0


@dataclass(frozen=True, slots=True)
class State:
    """The store, the key under which ``encrypted_content`` is sealed, and the callers' keys.

    ``passing`` is in memory always: turns that must not be stored (``passing_turns``).
    """

    store: Store
    key: bytes
    passing: Store
    keyring: Keyring

    async def close(self) -> None:
        """Finish what is queued and let the files go."""
        await self.store.close()
        await self.passing.close()
        await self.keyring.close()


OpenState = Callable[[Config], State]


def open_memory(config: Config) -> State:
    """A state that ends with the process."""
    bounds = _bounds(config)
    bounds = replace(bounds, max_bytes=min(bounds.max_bytes, _MEMORY_BYTES))
    store = open_store(None, bounds, time.time)
    return State(store, secrets.token_bytes(KEY_BYTES), _open_passing(), Keyring(None))


def open_state(folder: Path, config: Config) -> State:
    """The state in ``folder``, made if it is not there.

    With ``responses_store`` off only the key is there: it holds nobody's words, and
    contents that clients keep outlive a restart by it. Blocks as ``open_store``.
    Raises StoreError, with what to do about it, when a file cannot be used.
    """
    key, keyring = load_key(folder / KEY_FILE), Keyring(folder)
    if config.responses_store == "off":
        return replace(open_memory(config), key=key, keyring=keyring)
    store = open_store(folder / DATABASE, _bounds(config), time.time)
    return State(store, key, _open_passing(), keyring)


def _open_passing() -> Store:
    return open_store(None, Bounds(max_items=_PASSING_TURNS, max_bytes=_PASSING_BYTES), time.time)


def load_key(path: Path) -> bytes:
    """The key in the file ``path``, a new one if there is none. Its owner's alone (0600)."""
    try:
        if not path.exists():
            _make_key(path)
        path.chmod(0o600)
        key = path.read_bytes()
    except OSError as error:
        raise StoreError(f"The key {path} cannot be used: {error.strerror or error}.") from error
    if len(key) != KEY_BYTES:
        raise StoreError(
            f"The key {path} is damaged: it has {len(key)} bytes, not {KEY_BYTES}. Remove it to "
            "start with a new one; contents sealed under the old one cannot be read then."
        )
    return key


def _make_key(path: Path) -> None:
    """Write a whole key or none; of two processes at once the first one's stays."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return
    finally:
        draft.unlink()


def _bounds(config: Config) -> Bounds:
    return Bounds(
        max_items=config.responses_store_max_items, max_bytes=config.responses_store_max_bytes
    )


async def recover(store: Store) -> None:
    """Fail what was running when the last process died. Before the first request."""
    interrupted = await store.fail_interrupted(_to_failure)
    if interrupted:
        logger.warning("failed %d background responses that were interrupted", len(interrupted))


async def sweep_forever(store: Store) -> None:
    """Forget what is past its time, now and every minute."""
    while True:
        try:
            await store.sweep()
        except StoreError as error:
            logger.warning("old responses could not be removed: %s", error)
        await asyncio.sleep(_SWEEP_S)


def _to_failure(response: Response, sequence: int) -> Failure:
    # Only where something was interrupted: pydantic's models take their time.
    from mlxoss.server.responses_kept import to_failure

    return to_failure(response, sequence)
