"""Bodies that come compressed (RFC 9110 section 8.4), decoded piece by piece within a bound."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable
from typing import Protocol

from mlxoss.api.errors import HttpError, HttpRefusal
from mlxoss.errors import InvalidRequest

ACCEPTED = "gzip, deflate, zstd"
"""What is said to a client that sends anything else."""

UNSUPPORTED_ENCODING = "unsupported_content_encoding"

_WINDOW_LOG = 24
"""Of zstd, the most: 16 MiB, more than any body takes, of memory that a frame may ask for."""

_SHOWN_CHARS = 100
_GZIP_BITS = 31
_ZLIB_BITS = 15
_RAW_BITS = -15


class _Inflater(Protocol):
    """One compressed stream; what follows its end waits in ``unused_data``."""

    @property
    def eof(self) -> bool:
        """Whether the stream has ended."""

    @property
    def unused_data(self) -> bytes:
        """What came after its end."""

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """The next bytes, ``max_length`` at most; the rest comes with the next calls."""


class BodyDecoder:
    """A body in one encoding. ``decode`` its parts in their order, then ``check_end``."""

    def __init__(
        self, encoding: str, make: Callable[[bytes], _Inflater], error: type[Exception] = zlib.error
    ) -> None:
        self._encoding = encoding
        self._make = make
        self._error = error
        self._inflater: _Inflater | None = None

    def decode(self, data: bytes, most_bytes: int) -> bytes:
        """The bytes that ``data`` stands for, up to ``most_bytes``; the rest is not made.

        Raises InvalidRequest for what is not of the encoding.
        """
        decoded = bytearray()
        try:
            while data and len(decoded) < most_bytes:
                if self._inflater is None or self._inflater.eof:
                    self._inflater = self._make(data)
                decoded += self._inflater.decompress(data, most_bytes - len(decoded))
                # What is not decoded yet is more than there may be.
                data = self._inflater.unused_data
        except self._error as error:
            raise self._refusal(str(error)) from None
        return bytes(decoded)

    def check_end(self) -> None:
        """Raise InvalidRequest for a body that ends too soon."""
        if self._inflater is not None and not self._inflater.eof:
            raise self._refusal("it ends too soon")

    def _refusal(self, reason: str) -> InvalidRequest:
        return InvalidRequest(
            f"The body of the request is not valid {self._encoding}: {reason}.",
            code="invalid_content_encoding",
        )


def make_decoder(content_encoding: str) -> BodyDecoder | None:
    """The decoder for the header's value, ``None`` where nothing is encoded.

    Raises HttpRefusal (415) for any other encoding, and for several on top of each other.
    """
    names = [name.strip().lower() for name in content_encoding.split(",")]
    match [name for name in names if name not in ("", "identity")]:
        case []:
            return None
        case ["gzip" | "x-gzip"]:
            return BodyDecoder("gzip", lambda data: zlib.decompressobj(_GZIP_BITS))
        case ["deflate"]:
            return BodyDecoder("deflate", _make_deflate)
        case ["zstd"]:
            return _zstd_decoder()
    raise HttpRefusal(
        HttpError(
            415,
            f"Unsupported content encoding {content_encoding[:_SHOWN_CHARS]!a}: send one of "
            f"{ACCEPTED}, or none.",
            code=UNSUPPORTED_ENCODING,
        )
    )


def _make_deflate(data: bytes) -> _Inflater:
    """zlib's format is what is meant (RFC 9110 section 8.4.1.2); some send it without its head."""
    has_head = data[0] & 0x0F == zlib.DEFLATED and data[0] >> 4 <= 7
    return zlib.decompressobj(_ZLIB_BITS if has_head else _RAW_BITS)


def _zstd_decoder() -> BodyDecoder:
    # Imported for the first such body: most clients send none.
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: _WINDOW_LOG}
    return BodyDecoder("zstd", lambda data: zstd.ZstdDecompressor(options=options), zstd.ZstdError)
