"""What ``mlxoss bench`` found, as a table or as JSON. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field

from mlxoss.cli.bench.timing import Timing
from mlxoss.core import JsonObject

_COLUMNS = ("", "prompt", "cached", "first token", "prefill", "decode", "of the limit")
_MORE = ("of the chip", "since saved")
_WIDTHS = (24, 7, 7, 13, 12, 12, 14, 13, 13)


@dataclass(frozen=True, slots=True)
class BenchRow:
    """A case: medians over the rounds. Rates are tokens per second, of all streams together.

    ``limit_per_s`` is what the model does in-process, ``of_limit`` the share of it that the
    server reaches; ``None``: not measured, or (``decode_per_s``) not what the case is about.
    ``of_chip`` is the share of what the chip reads or computes, and ``since_saved`` how many times
    as fast it is as in the run that was saved.
    """

    case: str
    prompt_tokens: int
    cached_tokens: int
    first_token_s: float
    prefill_per_s: float | None = None
    decode_per_s: float | None = None
    limit_per_s: float | None = None
    of_limit: float | None = None
    of_chip: float | None = None
    since_saved: float | None = None

    @property
    def speed(self) -> float:
        """What the case is about: a rate, and where most of the prompt was cached the first
        token's."""
        if self.decode_per_s is not None:
            return self.decode_per_s
        return 1 / self.first_token_s


@dataclass(slots=True)
class BenchReport:
    """All of it. ``notes`` are sentences about what is missing and what was seen beside.

    ``device`` are sentences about what the chip and the model can do, and ``ceiling`` their
    figures.
    """

    url: str
    model: str
    rounds: int
    rows: list[BenchRow] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    device: list[str] = field(default_factory=list)
    ceiling: JsonObject | None = None

    def to_json(self) -> JsonObject:
        """As it is."""
        return asdict(self)

    def to_lines(self) -> list[str]:
        """For people."""
        head = f"{self.model} at {self.url}, medians of {self.rounds}"
        return [head, *self.table(), *self.device, *self.notes]

    def table(self) -> list[str]:
        """Its rows under their columns, the last ones where there is anything in them."""
        wide = any(row.of_chip is not None or row.since_saved is not None for row in self.rows)
        columns = (*_COLUMNS, *_MORE) if wide else _COLUMNS
        return [_line(columns), *(_to_line(row) for row in self.rows)]


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
            _share(row.of_limit),
            _share(row.of_chip),
            "" if row.since_saved is None else f"{row.since_saved - 1:+.1%}",
        )
    )


def _share(part: float | None) -> str:
    return "" if part is None else f"{part:.0%}"


def _rate(per_s: float | None) -> str:
    return "" if per_s is None else f"{per_s:.{0 if per_s >= 100 else 1}f} tok/s"


def _line(cells: Sequence[str]) -> str:
    first, *others = (
        cell.rjust(width) if number else cell.ljust(width)
        for number, (cell, width) in enumerate(zip(cells, _WIDTHS, strict=False))
    )
    return "".join([first, *others]).rstrip()
