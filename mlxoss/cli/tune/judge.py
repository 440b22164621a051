"""Whether a candidate gains anything: pure arithmetic on what was measured.

A candidate and the control are run several times in changing order, so that a machine that slows
down as it gets warm meets both. A gain counts if it is at least ``LEAST_GAIN``, more than the
noise, and seen in each run of the candidate beside every run of the control. Nothing that matters
may get slower by as much. So does a first token that comes sooner after a pause, by what is felt.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mlxoss.engine.trial_values import TrialResult

LEAST_GAIN = 0.02
_PAUSE_LOSS = 0.5
"""A first step after a pause is one of few and depends on what else the machine does."""

_PAUSE_GAIN = 0.1
_PAUSE_GAIN_S = 0.005
"""So much less of it, and of a second, is worth it."""

DRIFT = 0.03
"""The control's last run beside its first: from so much on people are told."""

RATES = ("decode", "decode_rows", "prefill")
_WEIGHTS = {"decode": 0.5, "decode_rows": 0.25, "prefill": 0.25}
_PAUSE_WEIGHT = 0.1


@dataclass(frozen=True, slots=True)
class Judgement:
    """``gains`` are the candidate's rates over the control's, less one, and what it saves of the
    first step after a ``pause``; ``noise`` is how far rates of the same differ. ``why`` says in
    words why it is not kept, ``None`` where it is."""

    gains: Mapping[str, float]
    noise: Mapping[str, float]
    score: float
    why: str | None

    @property
    def is_kept(self) -> bool:
        """Whether it gains."""
        return self.why is None


def judge(
    control: Sequence[TrialResult], candidate: Sequence[TrialResult], budget_bytes: int
) -> Judgement:
    """Hold the runs of a ``candidate`` against those of the ``control``, one of each at least.

    ``budget_bytes`` is what memory may be taken at most.
    """
    gains = {name: gain_of(name, control, candidate) for name in RATES}
    noise = {name: max(noise_of(name, control), noise_of(name, candidate)) for name in RATES}
    score = sum(_WEIGHTS[name] * gains[name] for name in RATES)
    saved = _pause_saved(control, candidate)
    score += _PAUSE_WEIGHT * saved
    gains["pause"] = saved
    why = _refuse(control, candidate, budget_bytes) or _weigh(control, candidate, gains, noise)
    return Judgement(gains, noise, score, why)


def rate_of(name: str, runs: Sequence[TrialResult]) -> float:
    """The median of the runs' medians."""
    return statistics.median(_medians(name, runs))


def gain_of(name: str, control: Sequence[TrialResult], candidate: Sequence[TrialResult]) -> float:
    """How much faster, of one."""
    return rate_of(name, candidate) / rate_of(name, control) - 1


def noise_of(name: str, runs: Sequence[TrialResult]) -> float:
    """How far runs of the same differ, of one: their medians, or the samples within them."""
    medians = _medians(name, runs)
    between = (max(medians) - min(medians)) / statistics.median(medians)
    within = [_deviation(getattr(run, name)) for run in runs]
    return max(between, statistics.median(within) / math.sqrt(len(runs)))


def drift_of(control: Sequence[TrialResult]) -> float:
    """How much faster the control's last run decoded than its first, of one."""
    first, *_, last = _medians("decode", [control[0], *control])
    return last / first - 1


def _medians(name: str, runs: Sequence[TrialResult]) -> list[float]:
    return [statistics.median(getattr(run, name)) for run in runs]


def _deviation(samples: Sequence[float]) -> float:
    """The median deviation from the median, of that; whatever one sample met does not count."""
    middle = statistics.median(samples)
    return statistics.median(abs(sample - middle) for sample in samples) / middle


def _refuse(
    control: Sequence[TrialResult], candidate: Sequence[TrialResult], budget_bytes: int
) -> str | None:
    if not {run.ids for run in candidate} <= {run.ids for run in control}:
        return "it says other tokens"
    peak = max(run.peak_bytes for run in candidate)
    if peak > budget_bytes:
        return f"it takes {peak / 1e9:.1f} GB at its peak, of {budget_bytes / 1e9:.1f} GB"
    return None


def _weigh(
    control: Sequence[TrialResult],
    candidate: Sequence[TrialResult],
    gains: Mapping[str, float],
    noise: Mapping[str, float],
) -> str | None:
    for name in RATES:
        if gains[name] < -max(LEAST_GAIN / 2, noise[name]):
            return f"{_NAMES[name]} gets {-gains[name]:.1%} slower"
    pauses = [rate_of("pause_s", runs) for runs in (control, candidate)]
    if pauses[1] > (1 + _PAUSE_LOSS) * pauses[0] + 0.01:
        return "the first token after a pause takes longer"
    if gains["pause"] or any(_is_gain(name, control, candidate, noise[name]) for name in RATES):
        return None
    return "nothing gained beyond the noise"


def _is_gain(
    name: str, control: Sequence[TrialResult], candidate: Sequence[TrialResult], noise: float
) -> bool:
    apart = min(_medians(name, candidate)) > max(_medians(name, control))
    return apart and gain_of(name, control, candidate) >= max(LEAST_GAIN, noise)


def _pause_saved(control: Sequence[TrialResult], candidate: Sequence[TrialResult]) -> float:
    """How much less the first step after a pause takes, of one; 0 for what is not worth it."""
    before, after = rate_of("pause_s", control), rate_of("pause_s", candidate)
    apart = max(_medians("pause_s", candidate)) < min(_medians("pause_s", control))
    worth_it = before - after >= max(_PAUSE_GAIN * before, _PAUSE_GAIN_S)
    return 1 - after / before if apart and worth_it else 0.0


_NAMES = {"decode": "decoding", "decode_rows": "decoding in a batch", "prefill": "a prompt"}
