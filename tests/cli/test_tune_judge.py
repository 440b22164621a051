"""What counts as a gain, what is tried, and in which order: on made-up samples."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from mlxoss.cli.tune.candidates import CONTROL, Candidate, Place, combine, find_candidates
from mlxoss.cli.tune.judge import Judgement, drift_of, judge
from mlxoss.cli.tune.search import search, to_lines, trials_of
from mlxoss.cli.tune.trials import TrialFailed
from mlxoss.config import Config
from mlxoss.engine.trial_values import TrialResult
from mlxoss.errors import MlxossError

BUDGET = 20 * 10**9
GIB = 1 << 30


def result(
    decode: float = 100.0,
    rows: float = 200.0,
    prefill: float = 1000.0,
    *,
    pause_s: float = 0.02,
    ids: str = "same",
    peak_bytes: int = 13 * 10**9,
) -> TrialResult:
    """A run whose samples differ by half a percent."""
    spread = (1.0, 0.995, 1.005, 1.0)
    return TrialResult(
        [decode * part for part in spread],
        [rows * part for part in spread],
        [prefill * part for part in spread],
        [pause_s],
        ids,
        peak_bytes,
    )


def judged(control: Sequence[TrialResult], candidate: Sequence[TrialResult]) -> Judgement:
    return judge(control, candidate, BUDGET)


@pytest.mark.parametrize(
    "faster",
    [
        {"decode": 105.0},
        {"rows": 210.0},
        {"prefill": 1050.0},
        {"decode": 105.0, "prefill": 995.0},
    ],
)
def test_a_clear_gain_is_kept(faster: dict[str, Any]) -> None:
    found = judged([result(), result(100.4)], [result(**faster), result(**faster)])
    assert found.is_kept
    assert found.score > 0


@pytest.mark.parametrize(
    ("control", "candidate", "why"),
    [
        ([100.0, 100.0], [101.0, 101.0], "nothing gained beyond the noise"),
        ([100.0, 109.0], [108.0, 112.0], "nothing gained beyond the noise"),
        ([100.0, 100.0], [103.0, 112.0], "nothing gained beyond the noise"),
        ([100.0, 100.0], [97.0, 97.0], "decoding gets 3.0% slower"),
    ],
)
def test_noise_is_no_gain(control: list[float], candidate: list[float], why: str) -> None:
    assert judged(list(map(result, control)), list(map(result, candidate))).why == why


def test_samples_that_differ_within_a_run_are_noise_too() -> None:
    wild = TrialResult([50.0, 104.0, 106.0, 170.0], [200.0], [1000.0], [0.02], "same", 1)
    steady = TrialResult([100.0], [200.0], [1000.0], [0.02], "same", 1)
    assert judged([steady], [wild]).why == "nothing gained beyond the noise"


@pytest.mark.parametrize(
    ("candidate", "why"),
    [
        (result(150.0, ids="others"), "it says other tokens"),
        (result(150.0, peak_bytes=21 * 10**9), "it takes 21.0 GB at its peak, of 20.0 GB"),
        (result(150.0, prefill=900.0), "a prompt gets 10.0% slower"),
        (result(150.0, rows=180.0), "decoding in a batch gets 10.0% slower"),
        (result(150.0, pause_s=0.3), "the first token after a pause takes longer"),
    ],
)
def test_a_gain_that_costs_too_much_is_not_kept(candidate: TrialResult, why: str) -> None:
    assert judged([result(), result()], [candidate, candidate]).why == why


@pytest.mark.parametrize(
    ("control", "candidate", "is_kept"),
    [
        ([0.200, 0.210], [0.050, 0.060], True),
        ([0.020, 0.021], [0.014, 0.013], True),
        ([0.020, 0.021], [0.017, 0.017], False),  # nobody feels it
        ([0.200, 0.210], [0.190, 0.195], False),
        ([0.200, 0.060], [0.050, 0.070], False),  # it may be luck
    ],
)
def test_a_token_that_comes_sooner_after_a_pause_is_a_gain(
    control: list[float], candidate: list[float], is_kept: bool
) -> None:
    found = judged(
        [result(pause_s=pause_s) for pause_s in control],
        [result(pause_s=pause_s) for pause_s in candidate],
    )
    assert found.is_kept is is_kept
    assert (found.score > 0) is is_kept


def test_what_is_sooner_after_a_pause_is_kept_beside_what_is_faster() -> None:
    def measure(candidate: Candidate) -> TrialResult:
        rate = 130.0 if "a" in candidate.changes else 100.0
        return result(rate, pause_s=0.05 if "c" in candidate.changes else 0.2)

    found = search(SETTINGS, measure, BUDGET, quietly)
    assert found.kept is not None
    assert set(found.kept.candidate.changes) == {"a", "c"}


@pytest.mark.parametrize("gain", [1.0, 1.3])
def test_what_is_told_adds_up(gain: float) -> None:
    """The bar is full when the last trial is done, winners measured once more among them."""
    told: list[str] = []
    total = trials_of(SETTINGS)

    def tell(name: str, *, more: int = 0) -> None:
        nonlocal total
        total += more
        assert len(told) < total
        told.append(name)

    def measure(candidate: Candidate) -> TrialResult:
        return result(100 * gain if "a" in candidate.changes else 100.0)

    assert (search(SETTINGS, measure, BUDGET, tell).kept is not None) == (gain > 1)
    assert len(told) == total


def test_a_machine_that_slows_down_is_met_by_all() -> None:
    """Each run is 2 % slower than the one before, as on a Mac that gets warm."""
    pace = iter(100 * 0.98**n for n in range(100))
    found = search(SETTINGS[:2], lambda _: result(next(pace)), BUDGET, quietly)
    assert found.kept is None
    assert found.has_drifted
    assert found.drift == pytest.approx(0.98**5 - 1)
    assert drift_of([result()]) == 0


def noisy(rng: random.Random, gains: dict[str, float], noise: float) -> Callable[..., TrialResult]:
    """A machine of which each run is off by up to ``noise``."""

    def measure(candidate: Candidate) -> TrialResult:
        gain = 1.0
        for name in candidate.changes:
            gain *= 1 + gains.get(name, 0.0)
        off = [gain * (1 + rng.uniform(-noise, noise)) for _ in range(3)]
        return result(100 * off[0], 200 * off[1], 1000 * off[2])

    return measure


def quietly(_: str, *, more: int = 0) -> None:
    """Nobody watches."""


SETTINGS = [Candidate({name: 1}) for name in ("a", "b", "c")]


def test_noise_alone_hardly_ever_wins_and_a_gain_is_found() -> None:
    seed = random.randrange(1 << 30)
    rng, wins, found = random.Random(seed), 0, 0
    for _ in range(300):
        wins += search(SETTINGS, noisy(rng, {}, 0.05), BUDGET, quietly).kept is not None
        clear = search(SETTINGS, noisy(rng, {"b": 0.15}, 0.01), BUDGET, quietly).kept
        found += clear is not None and "b" in clear.candidate.changes
    assert wins < 30, f"seed {seed}"
    assert found == 300, f"seed {seed}"


def test_settings_that_both_gain_are_tried_together() -> None:
    measure = noisy(random.Random(1), {"a": 0.10, "c": 0.20}, 0.0)
    found = search(SETTINGS, measure, BUDGET, quietly)
    assert found.kept is not None
    assert set(found.kept.candidate.changes) == {"a", "c"}
    assert [one.candidate.name for one in found.tried] == ["a 1", "b 1", "c 1", "c 1, a 1"]
    assert found.kept.runs != []
    lines = list(to_lines(found))
    assert lines[1].startswith("as it is")
    assert sum("nothing gained" in line for line in lines) == 1


def test_the_order_is_one_way_and_then_the_other() -> None:
    asked: list[str] = []

    def measure(candidate: Candidate) -> TrialResult:
        asked.append(candidate.name)
        return result(130.0 if "b" in candidate.changes else 100.0)

    search(SETTINGS, measure, BUDGET, quietly)
    first = ["as it is", "a 1", "b 1", "c 1"]
    again = ["b 1", "as it is"]
    assert asked == [*first, *reversed(first), *again, *reversed(again), *again]


def test_a_candidate_that_fails_is_left_out() -> None:
    def measure(candidate: Candidate) -> TrialResult:
        if "a" in candidate.changes:
            raise TrialFailed("the GPU hung.")
        return result()

    found = search(SETTINGS, measure, BUDGET, quietly)
    assert found.tried[0].why == "it failed: the GPU hung."
    assert (found.kept, len(found.tried[1].runs)) == (None, 2)

    def never(candidate: Candidate) -> TrialResult:
        raise TrialFailed("there is no Metal device.")

    with pytest.raises(MlxossError, match="The model cannot be measured: there is no Metal"):
        search(SETTINGS, never, BUDGET, quietly)


@pytest.mark.parametrize(
    ("config", "weights", "place", "names"),
    [
        (
            Config(),
            12,
            Place(128 * GIB, {}, "linux"),
            ["compiled_layers off", "fused_experts off", "plain_caches off"],
        ),
        (
            Config(),
            12,
            Place(64 * GIB, {}, "darwin"),
            [
                "command_buffers mlx",
                "command_buffers 1000/2000",
                "compiled_layers off",
                "fused_experts off",
                "plain_caches off",
                "keep_warm 60",
            ],
        ),
        (
            Config(),
            12,
            Place(16 * GIB, {}, "darwin"),
            ["compiled_layers off", "fused_experts off", "plain_caches off", "keep_warm 60"],
        ),
        (
            Config(),
            65,
            Place(128 * GIB, {}, "darwin"),
            ["command_buffers mlx", "command_buffers 1000/400"],
        ),
        (Config(), 65, Place(128 * GIB, {"MLX_MAX_OPS_PER_BUFFER": "9"}, "darwin"), []),
        (
            Config(given=frozenset({"command_buffers", "compiled_layers", "keep_warm"})),
            12,
            Place(64 * GIB, {}, "darwin"),
            ["fused_experts off", "plain_caches off"],
        ),
        (
            Config(fused_experts=False),
            12,
            Place(64 * GIB, {}, "linux"),
            ["compiled_layers off", "fused_experts on", "plain_caches off"],
        ),
    ],
)
def test_what_is_tried(config: Config, weights: int, place: Place, names: list[str]) -> None:
    assert [one.name for one in find_candidates(config, weights * 10**9, place)] == names


def test_changes_of_several() -> None:
    both = combine([Candidate({"a": 1, "b": 2}), Candidate({"b": 3, "c": 4})])
    assert both.changes == {"a": 1, "b": 2, "c": 4}
    assert (CONTROL.name, CONTROL.changes) == ("as it is", {})
