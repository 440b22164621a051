"""What ``mlxoss bench`` found, as a table or as JSON. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field

from mlxoss.cli.bench.timing import Timing
from mlxoss.core import JsonObject

_COLUMNS = ("", "prompt", "cached", "first token", "prefill", "decode", "of the limit")
_WIDTHS = (24, 7, 7, 13, 12, 12, 14)


@dataclass(frozen=True, slots=True)
class BenchRow:
    """A case: medians over the rounds. Rates are tokens per second, of all streams together.

    ``limit_per_s`` is what the model does in-process, ``of_limit`` the share of it that the
    server reaches; ``None``: not measured, or (``decode_per_s``) not what the case is about.
    """

    case: str
    prompt_tokens: int
    cached_tokens: int
    first_token_s: float
    prefill_per_s: float | None = None
    decode_per_s: float | None = None
    limit_per_s: float | None = None
    of_limit: float | None = None


@dataclass(frozen=True, slots=True)
class BenchReport:
    """All of it. ``notes`` are sentences about what is missing and what was seen beside."""

    url: str
    model: str
    rounds: int
    rows: list[BenchRow] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> JsonObject:
        """As it is."""
        return asdict(self)

    def to_lines(self) -> list[str]:
        """For people."""
        head = f"{self.model} at {self.url}, medians of {self.rounds}"
        return [head, _line(_COLUMNS), *(_to_line(row) for row in self.rows), *self.notes]


def to_row(case: str, rounds: Sequence[Timing]) -> BenchRow:
    """A case of one stream that is about its first token."""
    return BenchRow(
        case,
        round(_median(timing.prompt_tokens for timing in rounds)),
        round(_median(timing.cached_tokens for timing in rounds)),
        _median(timing.first_s for timing in rounds),
        prefill_per_s=_median(timing.prefill_per_s for timing in rounds),
    )


def to_decode_row(case: str, rounds: Sequence[Sequence[Timing]]) -> BenchRow:
    """A case of streams that decode at the same time."""
    all_of_them = [timing for timings in rounds for timing in timings]
    return BenchRow(
        case,
        round(_median(timing.prompt_tokens for timing in all_of_them)),
        round(_median(timing.cached_tokens for timing in all_of_them)),
        _median(timing.first_s for timing in all_of_them),
        decode_per_s=_median(sum(t.decode_per_s for t in timings) for timings in rounds),
    )


def _median(values: Iterable[float]) -> float:
    return statistics.median(values)


def _to_line(row: BenchRow) -> str:
    return _line(
        (
            row.case,
            str(row.prompt_tokens),
            str(row.cached_tokens),
            f"{row.first_token_s * 1000:.0f} ms",
            _rate(row.prefill_per_s),
            _rate(row.decode_per_s),
            "" if row.of_limit is None else f"{row.of_limit:.0%}",
        )
    )


def _rate(per_s: float | None) -> str:
    return "" if per_s is None else f"{per_s:.{0 if per_s >= 100 else 1}f} tok/s"


def _line(cells: Sequence[str]) -> str:
    first, *others = (
        cell.rjust(width) if number else cell.ljust(width)
        for number, (cell, width) in enumerate(zip(cells, _WIDTHS, strict=True))
    )
    return "".join([first, *others]).rstrip()
