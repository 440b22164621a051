"""The search: the control and every candidate in changing order, winners once more, a verdict."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from mlxoss.cli.progress import Done
from mlxoss.cli.tune.candidates import CONTROL, Candidate, combine
from mlxoss.cli.tune.judge import DRIFT, RATES, Judgement, drift_of, judge, rate_of
from mlxoss.cli.tune.trials import Measure, TrialFailed
from mlxoss.core import JsonObject
from mlxoss.engine.trial_values import TrialResult
from mlxoss.errors import MlxossError

ROUNDS = 2
MORE_ROUNDS = 3
"""Of the second stage, of the winners and the control alone: whoever was lucky meets it again."""


@dataclass(slots=True)
class Trials:
    """A candidate, what was measured of it, and why it failed if it did."""

    candidate: Candidate
    runs: list[TrialResult] = field(default_factory=list)
    judgement: Judgement | None = None
    failure: str | None = None

    @property
    def why(self) -> str | None:
        """Why it is not kept."""
        if self.failure is not None:
            return f"it failed: {self.failure}"
        return None if self.judgement is None else self.judgement.why

    def to_json(self) -> JsonObject:
        """Its figures: medians, and what it gains."""
        found: JsonObject = {"settings": dict(self.candidate.changes), "why": self.why}
        if self.runs:
            found |= {name: rate_of(name, self.runs) for name in RATES}
            found["pause_s"] = min(min(run.pause_s) for run in self.runs)
            found["peak_bytes"] = max(run.peak_bytes for run in self.runs)
        if self.judgement is not None:
            found |= {"gains": dict(self.judgement.gains), "noise": dict(self.judgement.noise)}
        return found


@dataclass(slots=True)
class Searched:
    """What came of it: the control, all that was tried beside it, and the one that is kept."""

    control: Trials
    tried: list[Trials]
    kept: Trials | None
    drift: float

    @property
    def has_drifted(self) -> bool:
        """Whether the machine's speed changed meanwhile."""
        return abs(self.drift) >= DRIFT


def search(
    candidates: Sequence[Candidate], measure: Measure, budget_bytes: int, tell: Done
) -> Searched:
    """Measure and judge. ``tell`` is called with what comes next.

    Raises ``MlxossError`` where the control itself fails.
    """
    control, tried = Trials(CONTROL), [Trials(candidate) for candidate in candidates]
    _run([control, *tried], ROUNDS, measure, tell)
    _judge(control, tried, budget_bytes)
    again = _winners(tried)
    if again:
        new = [one for one in again if one not in tried]
        tried += new
        known = [*again, control]
        _run(known, MORE_ROUNDS, measure, tell, more=MORE_ROUNDS * len(known))
        _judge(control, again, budget_bytes)
    kept = max((one for one in again if _is_kept(one)), key=_score, default=None)
    return Searched(control, tried, kept, drift_of(control.runs))


def trials_of(candidates: Sequence[Candidate]) -> int:
    """How many trials the first stage takes."""
    return ROUNDS * (1 + len(candidates))


def _run(
    all_of_them: Sequence[Trials], rounds: int, measure: Measure, tell: Done, *, more: int = 0
) -> None:
    """Rounds in one order and then in the other; who fails once is left out from there on.

    ``more`` of these trials were not known of before.
    """
    for number in range(rounds):
        for one in all_of_them if number % 2 == 0 else reversed(all_of_them):
            if one.failure is not None:
                continue
            tell(one.candidate.name, more=more)
            more = 0
            try:
                one.runs.append(measure(one.candidate))
            except TrialFailed as error:
                if not one.candidate.changes:
                    raise MlxossError(f"The model cannot be measured: {error}") from None
                one.failure = str(error)


def _judge(control: Trials, tried: Sequence[Trials], budget_bytes: int) -> None:
    for one in tried:
        if one.runs and one.failure is None:
            one.judgement = judge(control.runs, one.runs, budget_bytes)


def _is_kept(one: Trials) -> bool:
    return one.failure is None and one.judgement is not None and one.judgement.is_kept


def _score(one: Trials) -> float:
    assert one.judgement is not None
    return one.judgement.score


def _winners(tried: Sequence[Trials]) -> list[Trials]:
    """The best for each setting, and all of those at once where there are several."""
    best: defaultdict[tuple[str, ...], list[Trials]] = defaultdict(list)
    for one in filter(_is_kept, tried):
        best[tuple(one.candidate.changes)].append(one)
    winners = [max(ones, key=_score) for ones in best.values()]
    if len(winners) < 2:
        return winners
    return [*winners, Trials(combine([one.candidate for one in winners]))]


def to_lines(found: Searched) -> Iterator[str]:
    """A table for people."""
    yield _line("", "decode", "4 rows", "prompt", "after a pause", "peak")
    for one in (found.control, *found.tried):
        yield _line(one.candidate.name, *_cells(one, found.control))
        if one.why is not None:
            yield f"    {one.why}"


def _cells(one: Trials, control: Trials) -> Iterator[str]:
    if not one.runs:
        return
    for name in RATES:
        rate = rate_of(name, one.runs)
        gain = rate / rate_of(name, control.runs) - 1
        yield f"{rate:.1f}" if one is control else f"{rate:.1f} {gain:+.1%}"
    yield f"{1000 * min(min(run.pause_s) for run in one.runs):.0f} ms"
    yield f"{max(run.peak_bytes for run in one.runs) / 1e9:.2f} GB"


def _line(first: str, *others: str) -> str:
    return first.ljust(30) + "".join(cell.rjust(15) for cell in others)
