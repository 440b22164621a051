"""What is remembered of turns that ended: sizes and times, and words only if asked to."""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # it brings Harmony's modules, which a server that starts needs not yet
    from mlxoss.api.turn_request import Usage

MOST_RECORDS = 50
LEAST_PREFILLED = 32


@dataclass(frozen=True, slots=True)
class TurnRecord:
    """One request for a turn, however it ended.

    ``status`` is the answer's, or that of what broke it after it began; ``error`` says what
    that was. ``usage`` and ``wait_s`` are ``None`` where no turn began, ``ttft_s`` where no token
    came. ``ended_at`` is a Unix time in seconds. ``preview`` is raw text, for
    ``debug_raw_preview_chars`` alone.
    """

    id: str
    endpoint: str
    status: int
    ended_at: float
    total_s: float
    wait_s: float | None = None
    ttft_s: float | None = None
    usage: Usage | None = None
    preview: str | None = None
    error: str | None = None

    @property
    def decode_tokens_per_s(self) -> float | None:
        """Of all choices together, from the first token to the end; one token has no rate."""
        if self.usage is None or self.ttft_s is None or self.usage.completion_tokens < 2:
            return None
        return (self.usage.completion_tokens - 1) / max(self.total_s - self.ttft_s, 1e-9)

    @property
    def prefill_tokens_per_s(self) -> float | None:
        """Of the tokens that had to be computed, from admission to the first token.

        A few tokens have no rate: what a step takes whatever its length would count as theirs.
        """
        if self.usage is None or self.ttft_s is None or self.wait_s is None:
            return None
        computed = self.usage.prompt_tokens - self.usage.cached_tokens
        if computed < LEAST_PREFILLED:
            return None
        return computed / max(self.ttft_s - self.wait_s, 1e-9)


class TurnRecords:
    """The last ``MOST_RECORDS`` of them, in memory. The event loop's thread."""

    def __init__(self) -> None:
        self._latest: deque[TurnRecord] = deque(maxlen=MOST_RECORDS)

    def add(self, record: TurnRecord) -> None:
        """Remember it; the oldest goes."""
        self._latest.appendleft(record)

    def to_json(self) -> list[dict[str, Any]]:
        """The newest first, as ``GET /mlxoss/requests`` tells them."""
        return [_to_json(record) for record in self._latest]


def _to_json(record: TurnRecord) -> dict[str, Any]:
    fields = asdict(record)
    usage = fields.pop("usage") or {}
    told = {**fields, **usage, "decode_tokens_per_s": record.decode_tokens_per_s}
    return {
        name: round(value, 3) if isinstance(value, float) else value
        for name, value in told.items()
        if value is not None
    }
