"""Doctor's judgements that a Linux machine cannot bring about."""

from __future__ import annotations

import pytest

from mlxoss.cli.examine import check_system
from mlxoss.cli.speed import compare
from mlxoss.service.checks import Level


def test_elsewhere_the_checks_of_a_mac_are_skipped() -> None:
    found = list(check_system("linux", "", "x86_64"))
    assert [check.level for check in found] == [Level.SKIP, Level.SKIP]


@pytest.mark.parametrize(
    ("service_s", "foreground_s", "expected"),
    [(1.0, 1.0, Level.OK), (0.5, 1.0, Level.OK), (1.4, 1.0, Level.OK), (8.0, 1.0, Level.FAIL)],
)
def test_a_throttled_service_is_told(
    service_s: float, foreground_s: float, expected: Level
) -> None:
    found = compare(service_s, foreground_s)
    assert found.level is expected
    assert (expected is Level.FAIL) == (found.remedy is not None)
