"""Whether the machine runs at its usual speed, for who must not wait for an answer."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from mlxoss.daemon.power import PowerWatch, power_problem
from mlxoss.service.subprocess import CommandResult
from tests.support.waiting import until

FRESH_S = 15.0


@dataclass
class Mac:
    """``pmset`` of a Mac whose plug is in or out; it answers when ``gate`` is set."""

    source: str = "AC Power"
    gate: threading.Event = field(default_factory=threading.Event)
    asked: int = 0
    threads: set[str] = field(default_factory=set)

    def pmset(self, command: Sequence[str], *, timeout_s: float = 0) -> CommandResult:
        self.gate.wait()
        self.asked += command[-1] == "batt"
        self.threads.add(threading.current_thread().name)
        return CommandResult(0, f"Now drawing from '{self.source}'\n", "")

    def ask(self) -> str | None:
        return power_problem("darwin", self.pmset)


def test_nobody_waits_and_what_is_not_known_is_no() -> None:
    mac, now = Mac(), [0.0]
    watch = PowerWatch(mac.ask, FRESH_S, lambda: now[0])
    assert mac.asked == 0
    assert not any(watch.is_full() for _ in range(100))
    mac.gate.set()
    until(watch.is_full)
    assert mac.asked == 1
    assert mac.threads == {"mlxoss-power"}
    assert all(watch.is_full() for _ in range(100))
    assert mac.asked == 1


def test_a_plug_that_is_pulled_out_is_noticed() -> None:
    mac, now = Mac(), [0.0]
    mac.gate.set()
    watch = PowerWatch(mac.ask, FRESH_S, lambda: now[0])
    until(watch.is_full)
    mac.source = "Battery Power"
    now[0] = FRESH_S - 1
    assert watch.is_full()
    now[0] = FRESH_S
    until(lambda: not watch.is_full())
    assert mac.asked == 2
    mac.source = "AC Power"
    now[0] = 2 * FRESH_S
    until(watch.is_full)


def test_an_old_answer_is_not_believed() -> None:
    mac, now = Mac(), [0.0]
    mac.gate.set()
    watch = PowerWatch(mac.ask, FRESH_S, lambda: now[0])
    until(watch.is_full)
    mac.gate.clear()
    mac.source = "Battery Power"
    now[0] = 3600.0
    assert not watch.is_full()
    mac.gate.set()
    until(lambda: mac.asked == 2)
    assert not watch.is_full()
