"""The reading of attached files as a server does it: beside its event loop, and each once.

Clients that keep their conversations themselves send their files again with every turn, so
what was read is remembered, by contents or address, and the same text comes of it each time:
the prefix cache knows the prompt again.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

from mlxoss.api.history.files import FileSource
from mlxoss.documents.contents import FileContents, decode, to_text
from mlxoss.documents.fetch import Fetching, fetch_apart
from mlxoss.errors import FileUnreadable

_READ_AT_A_TIME = 2
_FETCHED_AT_A_TIME = 8
_REMEMBERED_CHARS = 16_000_000
_FRESH_S = 600.0
"""How long what an address gave is taken for what it gives now. A turn of many calls asks again
and again."""


@dataclass(frozen=True, slots=True)
class _Outcome:
    """A text, or the error; ``at`` is when."""

    at: float
    text: str = ""
    error: FileUnreadable | None = None


class FileReader:
    """Reads files. Belongs to the event loop's thread.

    ``may_fetch`` says whether addresses are read at all. ``clock`` gives seconds. Of texts
    ``remembered_chars`` are remembered, those used last.
    """

    def __init__(
        self,
        *,
        may_fetch: bool,
        clock: Callable[[], float] = time.monotonic,
        remembered_chars: int = _REMEMBERED_CHARS,
    ) -> None:
        self._may_fetch = may_fetch
        self._clock = clock
        self._most_chars = remembered_chars
        self._reading = asyncio.Semaphore(_READ_AT_A_TIME)
        self._fetching = asyncio.Semaphore(_FETCHED_AT_A_TIME)
        self._known: OrderedDict[bytes, _Outcome] = OrderedDict()
        self._known_chars = 0

    async def read(self, source: FileSource, most_chars: int, *, is_new: bool) -> str:
        """The file as the model is shown it, of ``most_chars`` characters at most.

        Of one that is not ``is_new`` an address is not asked again for what it gave before.
        Raises FileUnreadable, whose ``param`` is the field within the part.
        """
        try:
            if source.url is not None:
                return await self._read_url(source, source.url, most_chars, is_new=is_new)
            return await self._read_contents(source, most_chars)
        except FileUnreadable as error:
            raise error.at(source.field) from None

    async def _read_contents(self, source: FileSource, most_chars: int) -> str:
        contents, key = await asyncio.to_thread(_decode_and_hash, source)
        known = self._find(key)
        if known is not None and (known.error is None or known.at > self._clock() - _FRESH_S):
            return _text_of(known)
        return await self._to_text(key, source, contents, most_chars)

    async def _read_url(
        self, source: FileSource, url: str, most_chars: int, *, is_new: bool
    ) -> str:
        if not self._may_fetch:
            reason = "this server reads no addresses (allow_fetch is off); send the file itself"
            raise FileUnreadable(reason, code="unsupported_value")
        key = _hash(source, url.encode("utf-8", "surrogatepass"))
        known = self._find(key)
        is_fresh = known is not None and known.at > self._clock() - _FRESH_S
        if known is not None and (not is_new or (is_fresh and known.error is None)):
            return _text_of(known)
        try:
            async with self._fetching:
                contents = await fetch_apart(Fetching(url))
            return await self._to_text(key, source, contents, most_chars)
        except FileUnreadable as error:
            if known is not None and known.error is None:
                return known.text
            self._remember(key, _Outcome(self._clock(), error=error))
            raise

    async def _to_text(
        self, key: bytes, source: FileSource, contents: FileContents, most_chars: int
    ) -> str:
        try:
            async with self._reading:
                text = await asyncio.to_thread(to_text, source, contents, most_chars)
        except FileUnreadable as error:
            self._remember(key, _Outcome(self._clock(), error=error))
            raise
        self._remember(key, _Outcome(self._clock(), text))
        return text

    def _find(self, key: bytes) -> _Outcome | None:
        found = self._known.get(key)
        if found is not None:
            self._known.move_to_end(key)
        return found

    def _remember(self, key: bytes, outcome: _Outcome) -> None:
        self._forget(key)
        self._known[key] = outcome
        self._known_chars += _size(outcome)
        while self._known_chars > self._most_chars:
            self._forget(next(iter(self._known)))

    def _forget(self, key: bytes) -> None:
        gone = self._known.pop(key, None)
        self._known_chars -= 0 if gone is None else _size(gone)


def _size(outcome: _Outcome) -> int:
    return len(outcome.text) + 1_000


def _text_of(known: _Outcome) -> str:
    if known.error is not None:
        raise known.error
    return known.text


def _decode_and_hash(source: FileSource) -> tuple[FileContents, bytes]:
    contents = decode(source)
    return contents, _hash(source, contents.data, contents.media_type or "")


def _hash(source: FileSource, data: bytes, *more: str) -> bytes:
    """Of all that the text is made of."""
    whole = hashlib.sha256(data)
    told = repr((replace(source, content=None, field=""), more))
    whole.update(told.encode("utf-8", "backslashreplace"))
    return whole.digest()
