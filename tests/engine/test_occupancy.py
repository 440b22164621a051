from __future__ import annotations

import pytest

from mlxoss.engine.occupancy import Occupancy, QueuePlace, RateMeter
from tests.support.clock import Clock


def test_places_are_slots_and_queue_together() -> None:
    occupancy = Occupancy(slots=1, places=2, clock=Clock(1000.0))
    assert [occupancy.enter(uid) for uid in range(4)] == [True, True, True, False]
    occupancy.leave(1)
    assert occupancy.enter(4)
    assert not occupancy.enter(5)


def test_counts_and_waits() -> None:
    clock = Clock(1000.0)
    occupancy = Occupancy(slots=2, places=2, clock=clock)
    occupancy.enter(0)
    clock.now += 3
    occupancy.enter(1)
    clock.now += 2
    assert occupancy.counts() == (0, 2, 5.0)
    assert occupancy.admit(0) == 5.0
    assert occupancy.counts() == (1, 1, 2.0)
    occupancy.leave(0)
    occupancy.leave(0)
    occupancy.leave(1)
    assert occupancy.counts() == (0, 0, 0.0)


def test_a_sequence_that_left_is_not_admitted() -> None:
    occupancy = Occupancy(slots=1, places=1, clock=Clock(1000.0))
    occupancy.enter(0)
    occupancy.leave(0)
    assert occupancy.admit(0) == 0.0
    assert occupancy.counts() == (0, 0, 0.0)


def test_a_place_in_the_queue_and_when_it_is_due() -> None:
    clock = Clock(1000.0)
    occupancy = Occupancy(slots=1, places=4, clock=clock)
    for uid in range(4):
        assert occupancy.enter(uid, is_background=uid == 1)
    occupancy.admit(0)
    assert occupancy.place(0) is None
    assert [occupancy.place(uid) for uid in (2, 3, 1)] == [
        QueuePlace(number, None) for number in (1, 2, 3)
    ]
    clock.now += 10
    occupancy.leave(0)
    occupancy.admit(2)
    assert occupancy.place(3) == QueuePlace(1, 10.0)
    assert occupancy.place(1) == QueuePlace(2, 20.0)
    occupancy.leave(1)
    assert occupancy.place(1) is None
    occupancy.leave(2)
    assert occupancy.place(3) == QueuePlace(1, 0.0)


@pytest.mark.parametrize(
    ("run_s", "expected_s"), [(None, 1), (0.5, 1), (20.0, 5), (21.0, 6), (10_000.0, 60)]
)
def test_retry_after_follows_how_long_requests_run(run_s: float | None, expected_s: int) -> None:
    clock = Clock(1000.0)
    occupancy = Occupancy(slots=4, places=0, clock=clock)
    if run_s is not None:
        occupancy.enter(0)
        occupancy.admit(0)
        clock.now += run_s
        occupancy.leave(0)
    assert occupancy.retry_after_s() == expected_s


def test_rate_over_the_time_that_passed_then_over_a_minute() -> None:
    clock = Clock(1000.0)
    meter = RateMeter(clock)
    assert meter.per_second() == 0.0
    meter.add(30)
    clock.now += 10
    meter.add(20)
    assert meter.per_second() == pytest.approx(5.0)
    clock.now += 45
    assert meter.per_second() == pytest.approx(50 / 55)
    clock.now += 10
    assert meter.per_second() == pytest.approx(20 / 60)
    clock.now += 60
    assert meter.per_second() == 0.0


def test_rate_forgets_seconds_of_earlier_minutes() -> None:
    clock = Clock(1000.0)
    meter = RateMeter(clock)
    meter.add(600)
    clock.now += 60
    meter.add(6)
    assert meter.per_second() == pytest.approx(0.1)
