"""Judgements that one machine cannot bring about, and the arithmetic of shards."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlxoss.cli.memory import free_bytes, parse_meminfo, parse_vm_stat
from mlxoss.cluster.judge import judge_link, judge_memory, on_one_machine, ways
from mlxoss.cluster.link import LinkSpeed
from mlxoss.cluster.report import (
    HostMemory,
    HostModel,
    HostReport,
    find_answer,
    parse_report,
    to_answer,
    to_line,
)
from mlxoss.cluster.trouble import Trouble, explain
from mlxoss.findings import Check, Level
from mlxoss.hosts import Host

GB = 1_000_000_000
B = Host(1, "mac-b", ("10.0.0.2",))
MODEL = HostModel("big", None, "d", 65 * GB, 34 * GB)
REPORT = HostReport(
    {"mlxoss": "1"}, "boot", HostMemory(48 * GB, 64 * GB, None), MODEL, rdma=("rdma_en2",)
)

CHANGED = """@@@@@@@@@@@@@
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @
@@@@@@@@@@@@@
Host key verification failed.
"""


def told(check: Check) -> Level:
    if check.level in (Level.WARN, Level.FAIL):
        assert check.remedy, check
    return check.level


@pytest.mark.parametrize(
    ("together", "memory", "expected"),
    [
        (1, HostMemory(48 * GB, 64 * GB, 60 * GB), Level.OK),
        (1, HostMemory(48 * GB, 64 * GB, None), Level.OK),
        (1, HostMemory(48 * GB, 64 * GB, 30 * GB), Level.WARN),  # something else takes it
        (1, HostMemory(36 * GB, 48 * GB, 40 * GB), Level.WARN),  # no room to compute
        (1, HostMemory(33 * GB, 48 * GB, 40 * GB), Level.FAIL),
        (1, HostMemory(24 * GB, 32 * GB, 30 * GB), Level.FAIL),
        (2, HostMemory(48 * GB, 64 * GB, 60 * GB), Level.FAIL),
        (2, HostMemory(96 * GB, 128 * GB, 120 * GB), Level.OK),
    ],
)
def test_a_shard_fits_or_not(together: int, memory: HostMemory, expected: Level) -> None:
    found = judge_memory(replace(REPORT, memory=memory), together, B)
    assert told(found) is expected, found


def test_ranks_on_one_machine_share_its_memory() -> None:
    reports = {0: REPORT, 1: replace(REPORT, machine="other"), 2: REPORT}
    assert on_one_machine(reports) == {0: 2, 1: 1, 2: 2}


@pytest.mark.parametrize(
    ("found", "over_tcp", "expected"),
    [
        (LinkSpeed(0.0003, 118e6), True, Level.OK),
        (LinkSpeed(0.0001, 2e9), True, Level.OK),
        (LinkSpeed(0.004, 118e6), True, Level.WARN),
        (LinkSpeed(0.0003, 40e6), True, Level.WARN),
        (LinkSpeed(0.004, 40e6), False, Level.OK),
        (Trouble("no way there", "ping"), False, Level.FAIL),
    ],
)
def test_a_link_is_quick_or_not(
    found: LinkSpeed | Trouble, over_tcp: bool, expected: Level
) -> None:
    assert told(judge_link("to rank 1", found, over_tcp=over_tcp)) is expected


def test_who_connects_to_whom() -> None:
    hosts = [Host(n, f"mac-{n}", (f"10.0.0.{n}", f"10.0.1.{n}")) for n in range(3)]
    ring = [(a.rank, b.rank, ip) for a, b, ip in ways(hosts, "ring")]
    assert ring == [
        *[(0, 1, "10.0.0.1"), (0, 1, "10.0.1.1"), (1, 2, "10.0.0.2"), (1, 2, "10.0.1.2")],
        *[(2, 0, "10.0.0.0"), (2, 0, "10.0.1.0")],
    ]
    star = [(a.rank, b.rank, ip) for a, b, ip in ways(hosts, "jaccl")]
    assert star == [(1, 0, "10.0.0.0"), (2, 0, "10.0.0.0")]


@pytest.mark.parametrize(
    ("code", "said", "expected"),
    [
        (255, "ssh: connect to host mac-b port 22: Operation timed out", "ping mac-b.local"),
        (255, "ssh: connect to host mac-b port 22: No route to host", "ping mac-b.local"),
        (255, CHANGED, "ssh-keygen -R mac-b.local"),
        (255, "Received disconnect from mac-b: Too many authentication failures", "IdentityFile"),
        (255, "kex_exchange_identification: \x1b[31mbroken\r\n", "ssh -v you@mac-b.local exit"),
        (255, "", "ssh -v you@mac-b.local exit"),
        (127, "zsh: command not found", "ssh you@mac-b.local command -v mlxoss"),
        (1, "python3: No module named mlxoss", "-m pip install mlxoss"),
        (1, "Traceback\n  x\nKeyError: 1", "--version"),
        (-9, "", "--version"),
    ],
)  # fmt: skip
def test_trouble_has_a_remedy(code: int, said: str, expected: str) -> None:
    found = explain(Host(1, "you@mac-b.local"), "/opt/bin/python", code, said)
    assert expected in found.remedy
    assert found.detail.isprintable()
    assert len(found.detail) < 250


def test_reports_travel_behind_whatever_a_shell_prints() -> None:
    line = "Last login: today " + to_line(to_answer(REPORT))
    answer = find_answer(line)
    assert answer is not None
    assert parse_report(answer) == REPORT
    assert (
        find_answer("Welcome")
        is find_answer("mlxoss-probe:[]")
        is find_answer("mlxoss-probe:{")
        is None
    )
    for key in answer:
        assert parse_report({name: value for name, value in answer.items() if name != key}) is None


def test_free_memory() -> None:
    page = "Mach Virtual Memory Statistics: (page size of 16384 bytes)\n"
    counts = "Pages free: 10.\nPages active: 500.\nPages inactive: 20.\nPages speculative: 3.\n"
    more = 'Pages wired down: 7.\nPages purgeable: 1.\n"Translation faults": 9.\n'
    assert parse_vm_stat(page + counts + more) == 34 * 16384
    assert parse_vm_stat("") is parse_meminfo("MemFree: 1 kB\n") is None
    assert parse_meminfo("MemFree: 1 kB\nMemAvailable:   2048 kB\n") == 2 << 20
    assert (free_bytes() or 0) > 1 << 20
