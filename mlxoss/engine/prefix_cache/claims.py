"""Which snapshots are kept longer: those of conversations that their clients name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

MOST_CLAIMS = 8
"""Of so many keys, those used last."""

CLAIM_PROMPTS = 256
"""How many other prompts may come until a key's last one is no more than any other."""


@dataclass(frozen=True, slots=True)
class _Claim:
    ids: tuple[int, ...]
    number: int


class Claims:
    """The latest prompt of each ``prompt_cache_key``. Belongs to the engine's thread.

    It counts prompts, not seconds: all ranks have to come to the same.
    """

    def __init__(self) -> None:
        self._claims: dict[str, _Claim] = {}
        self._prompts = 0

    def __iter__(self) -> Iterator[tuple[int, ...]]:
        """The prompts, the latest first."""
        return (claim.ids for claim in reversed(self._claims.values()))

    def note(self, key: str | None, ids: tuple[int, ...]) -> None:
        """The prompt ``ids`` came, with a key or without."""
        self._prompts += 1
        if key is not None:
            self._claims.pop(key, None)
            self._claims[key] = _Claim(ids, self._prompts)
        oldest = next(iter(self._claims), None)
        if oldest is not None and (
            len(self._claims) > MOST_CLAIMS
            or self._prompts - self._claims[oldest].number > CLAIM_PROMPTS
        ):
            del self._claims[oldest]
