"""Doctor's judgements that a Linux machine cannot bring about."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from mlxoss.cli.doctor.checks import check_system
from mlxoss.cli.doctor.speed import compare
from mlxoss.cli.memory import memory_limits
from mlxoss.findings import Level
from mlxoss.service.subprocess import CommandResult


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


@pytest.mark.parametrize(
    ("code", "out", "share"),
    [(0, "0\n", 0.75), (0, "1024\n", None), (255, "", 1.0), (0, "unknown oid\n", 1.0)],
)
def test_what_a_model_may_take(code: int, out: str, share: float | None) -> None:
    def run(command: Sequence[str], *, timeout_s: float = 30.0) -> CommandResult:
        assert command[-1] == "iogpu.wired_limit_mb"
        return CommandResult(code, out, "")

    limit, total = memory_limits(run)
    assert limit == (1_073_741_824 if share is None else int(total * share))
