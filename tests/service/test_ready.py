"""What is made of a service that does not answer."""

from __future__ import annotations

import pytest

from mlxoss.service.health import Refused
from mlxoss.service.job import Absent, Found, Job, JobState
from mlxoss.service.launchctl import parse_print
from mlxoss.service.ready import ServiceNotReady, wait_ready

PRINTED = """gui/501/org.mlxoss.daemon = {
\tactive count = 0
\tpath = /Users/you/Library/LaunchAgents/org.mlxoss.daemon.plist
\tstate = not running

\tprogram = /opt/homebrew/opt/mlxoss/bin/mlxoss
\tworking directory = /Volumes/SSD/own/data

\tstdout path = /Volumes/SSD/own/logs/launchd.log
\tstderr path = /Volumes/SSD/own/logs/launchd.log
\truns = 1
\tlast exit code = 78: EX_CONFIG
}
"""


def settle(found: Found) -> ServiceNotReady:
    ready = wait_ready(lambda: found, lambda: Refused("nobody"), lambda: None, limit_s=0.0)
    assert isinstance(ready, ServiceNotReady)
    return ready


@pytest.mark.parametrize(
    ("found", "loops"),
    [
        (Job(JobState.WAITING, runs=1, last_exit="1", last_code=1), True),
        (Job(JobState.ENDED, runs=1, last_exit="78: EX_CONFIG", last_code=78), True),
        (Job(JobState.WAITING, runs=1, last_exit="Killed: 9"), True),
        (Job(JobState.ENDED, runs=1, last_exit="0", last_code=0), False),
        (Job(JobState.RUNNING, pid=7, runs=1), False),  # it may still load
        (Job(JobState.STARTING, runs=3, last_exit="1", last_code=1), False),
        (Job(JobState.STOPPING, pid=7, runs=1), False),
        (Absent(), False),
    ],
)
def test_only_what_starts_over_and_over_loops(found: Found, loops: bool) -> None:
    assert settle(found).loops is loops


def test_78_names_all_that_it_can_mean() -> None:
    said = settle(parse_print(PRINTED, where="gui/501")).why
    assert "(exit 78)" in said
    assert "the program /opt/homebrew/opt/mlxoss/bin/mlxoss" in said
    assert "its log /Volumes/SSD/own/logs/launchd.log" in said
    assert "its folder /Volumes/SSD/own/data" in said
