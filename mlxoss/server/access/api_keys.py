"""The keys as the daemon sees them: read again whenever their file changes."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from mlxoss.api_key_file import (
    KEYS_FILE,
    TOKEN_FILE,
    hash_token,
    make_local_token,
    read_keys,
    read_local_token,
    write_uses,
)
from mlxoss.errors import StoreError
from mlxoss.files import Stamp, stamp

logger = logging.getLogger(__name__)

NOTE_S = 60.0
"""Uses are written down at most so often."""


class _Known(NamedTuple):
    """What the files said, and by what to see that they changed."""

    stamps: tuple[Stamp, Stamp] = (None, None)
    hashes: tuple[str, ...] = ()
    local: str | None = None
    names: Mapping[str, str] = MappingProxyType({})


class KnownCaller(NamedTuple):
    """Somebody who is let in: by the key of this hash, or as the local token's reader."""

    key: str | None = None


class ApiKeys:
    """The keys of one data folder; without a folder there are none.

    Belongs to the event loop's thread. Asking costs two ``stat`` calls; a file is read only
    when it was replaced. One that cannot be read then leaves in force what was known.
    """

    def __init__(self, folder: Path | None, clock: Callable[[], float] = time.time) -> None:
        """Read the keys and make a new local token. Raises StoreError where keys cannot be read.

        ``problem`` is why there is no new token. Then none is valid: the last one may be known
        to a program that took the port meanwhile.
        """
        self.problem: StoreError | None = None
        self._folder = folder
        self._clock = clock
        self._known = _Known()
        self._uses: dict[str, float] = {}
        self._noted_at = -NOTE_S
        self._noting: asyncio.Task[None] | None = None
        if folder is not None:
            try:
                make_local_token(folder)
            except StoreError as error:
                self.problem = error
            self._known = self._read(folder)

    def name_of(self, key: str) -> str | None:
        """What the key of this hash is called, while there is it."""
        return self._known.names.get(key)

    @property
    def is_empty(self) -> bool:
        """Whether no key was made, or all were revoked."""
        return not self._current().hashes

    def admits(self, token: str) -> KnownCaller | None:
        """Whose ``token`` is, ``None`` if nobody's; the time it takes does not tell which.

        The use of a key is noted; call on the running loop.
        """
        known, sent = self._current(), hash_token(token)
        found = [kept for kept in known.hashes if hmac.compare_digest(kept, sent)]
        is_local = known.local is not None and hmac.compare_digest(known.local, sent)
        if found:
            self._note(sent)
            return KnownCaller(sent)
        return KnownCaller() if is_local else None

    async def close(self) -> None:
        """Write down what is not yet."""
        if self._noting is not None:
            self._noting.cancel()
            await asyncio.wait({self._noting})
        await self._write_uses()

    def _current(self) -> _Known:
        if self._folder is not None and _stamps(self._folder) != self._known.stamps:
            try:
                self._known = self._read(self._folder)
            except StoreError as error:
                logger.warning("the API keys of before stay in force: %s", error)
                known = self._known
                self._known = known._replace(stamps=_stamps(self._folder))
        return self._known

    def _read(self, folder: Path) -> _Known:
        stamps = _stamps(folder)  # before the files: a change between is seen the next time
        local = None if self.problem else read_local_token(folder)
        names = {key.hash: key.name for key in read_keys(folder)}
        return _Known(stamps, tuple(names), hash_token(local) if local else None, names)

    def _note(self, key: str) -> None:
        self._uses[key] = self._clock()
        if self._noting is None or self._noting.done():
            self._noting = asyncio.get_running_loop().create_task(self._write_uses_in_time())

    async def _write_uses_in_time(self) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, self._noted_at + NOTE_S - loop.time()))
        self._noted_at = loop.time()
        await self._write_uses()

    async def _write_uses(self) -> None:
        uses, self._uses = self._uses, {}
        if self._folder is None or not uses:
            return
        try:
            await asyncio.to_thread(write_uses, self._folder, uses)
        except OSError as error:
            logger.warning("the use of API keys could not be noted: %s", error)


def _stamps(folder: Path) -> tuple[Stamp, Stamp]:
    return stamp(folder / KEYS_FILE), stamp(folder / TOKEN_FILE)
