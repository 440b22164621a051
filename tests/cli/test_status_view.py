"""The screen, as it looks."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlxoss.cli.printing import to_bytes
from mlxoss.cli.status.process import Process, parse_ps, read_process
from mlxoss.cli.status.screen import to_duration, to_json, to_lines
from mlxoss.cli.status.view import View
from mlxoss.cluster.reach import Reach, Tried
from mlxoss.config import Config
from mlxoss.last_exit import LastExit
from mlxoss.service.health import Answered, Health, Refused, Silent
from mlxoss.service.job import Absent, Found, Job, JobState, Unknown
from mlxoss.service.spec import Definition
from mlxoss.service.status import ServiceStatus
from mlxoss.system.memory import held_bytes

PLIST = Path("/Users/you/Library/LaunchAgents/mlxoss.plist")
DEFINITION = Definition("/opt/homebrew/opt/mlxoss/bin/mlxoss", ("serve",), {})
RUNNING = Job(JobState.RUNNING, pid=4711, runs=1, where="gui/501")
REPORT = {
    "status": "ok",
    "model": "mlx-community/gpt-oss-20b-MXFP4-Q8",
    "active_requests": 2,
    "queued_requests": 3,
    "oldest_wait_s": 1.24,
    "refused_requests": 7,
    "prefill_tokens_per_s": 812.4,
    "decode_tokens_per_s": 61.02,
}


def view(
    job: Found = RUNNING,
    health: Health | None = None,
    *,
    process: Process | None = None,
    last_exit: LastExit | None = None,
    concerns: tuple[str, ...] = (),
    installed: bool = True,
    **report: Any,
) -> View:
    status = ServiceStatus(
        manager="launchd",
        path=PLIST,
        definition=DEFINITION if installed else None,
        job=job,
        disabled=False,
        health=health or Answered(REPORT | report),
        last_exit=last_exit,
        concerns=concerns,
    )
    return View(status, Config(), process, Path("/etc/mlxoss.toml"), Path("/var/log/mlxoss.log"))


def screen(shown: View) -> str:
    return "\n".join([f"mlxoss is {shown.headline}", *to_lines(shown)]) + "\n"


def test_a_busy_service() -> None:
    shown = view(process=Process(13_100_000_000, 11_520))
    shown = replace(shown, at=1_795_000_000.0)
    since = time.strftime("%H:%M:%S", time.localtime(1_795_000_000 - 11_520))
    assert (
        screen(shown)
        == f"""\
mlxoss is running
service       launchd (gui/501), pid 4711, since {since} (3 h 12 min)
started       once since it was loaded
model         mlx-community/gpt-oss-20b-MXFP4-Q8 (ok)
requests      2 active of 8, 3 queued of 64 (oldest for 1.2 s), 7 refused
speed         prefill 812 tok/s, decode 61.0 tok/s (last minute)
memory        process 13.1 GB
address       http://127.0.0.1:8000/v1
settings      /etc/mlxoss.toml
log           /var/log/mlxoss.log
"""
    )


def test_prompts_on_their_way_are_told_of() -> None:
    long = {
        "state": "prefill",
        "prompt_tokens": 60_000,
        "cached_tokens": 4_000,
        "prefilled_tokens": 12_000,
    }
    running = [
        long | {"prefill_tokens_per_s": 451.2, "left_s": 106.4},
        {"state": "decode", "prompt_tokens": 5, "completion_tokens": 9},
        {"state": "queued", "prompt_tokens": 1_200, "place": 1, "left_s": 12.0},
        {"state": "queued", "prompt_tokens": 9, "place": 2},
        long | {"cached_tokens": 0},
        {"state": "queued", "prompt_tokens": 9, "place": 4},
        "of a later server",
    ]
    shown = " ".join(screen(view(running=running)).split())
    assert (
        "prefill 12,000 of 60,000 tokens (20%), 4,000 of them cached, 451 tok/s, about 2 min left "
        "queued 1,200 tokens, place 1, may begin in about 12 s "
        "queued 9 tokens, place 2 "
        "prefill 12,000 of 60,000 tokens (20%) and 1 more speed" in shown
    )


def test_tools_that_the_server_runs_and_what_they_did() -> None:
    calls = {
        "python": {"calls": 1_200, "seconds": 61.04, "failures": 2},
        "browser.search": {"calls": 1, "seconds": 0.5, "failures": 0},
        "of a later server": "?",
    }
    tools = {"python": True, "browser": "searxng", "mcp": ["oslo", "bergen"], "calls": calls}
    shown = " ".join(screen(view(tools=tools)).split())
    assert (
        "tools python, browser (searxng), MCP (oslo, bergen) "
        "python 1,200 calls in 61.0 s, 2 failed; browser.search 1 call in 0.5 s; "
        "of a later server 0 calls in 0.0 s address" in shown
    )


@pytest.mark.parametrize(
    "tools", [{}, {"tools": {"python": False, "browser": None, "mcp": []}}, {"tools": "?"}]
)
def test_where_no_tool_is_enabled_none_is_told_of(tools: dict[str, Any]) -> None:
    assert "tools" not in screen(view(**tools))


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("held", "the Mac is kept from idle sleep (keep_awake)"),
        ("ready", "the Mac may sleep; while requests run it is kept from idle sleep (keep_awake)"),
        ("off", "the Mac may sleep, also while requests run (keep_awake = off)"),
        ("unsupported", "only a Mac is kept from idle sleep while requests run (keep_awake)"),
        ("failed", "the Mac may sleep, though keep_awake is on"),
    ],
)
def test_whether_the_mac_is_kept_awake(state: str, words: str) -> None:
    assert f"sleep {words}" in " ".join(screen(view(awake={"state": state})).split())


def test_an_older_daemon_says_nothing_of_sleep() -> None:
    assert "sleep" not in screen(view())


def test_what_the_daemon_found_of_the_other_hosts() -> None:
    tried = (
        Tried(1, "mac-b", "10.0.0.2", None),
        Tried(1, "mac-b", "10.0.1.2", "No route to host"),
    )
    shown = replace(view(), at=1_795_000_000.0, reach=Reach(1_795_000_000.0, tried))
    at = time.strftime("%H:%M:%S", time.localtime(1_795_000_000))
    said = " ".join(screen(shown).split())
    assert f"reach rank 1 (mac-b) at 10.0.0.2: reached by the service ({at})" in said
    where = "rank 1 (mac-b) at 10.0.1.2"
    assert f"reach {where}: not reached by the service, No route to host ({at})" in said
    assert to_json(shown)["reach"]["tried"][1]["why"] == "No route to host"


def test_pauses_are_shown_once_there_were_any() -> None:
    assert "pause" not in screen(view(paused_requests=0, pauses=0))
    shown = screen(view(paused_requests=1, pauses=4))
    assert "\nrequests      2 active of 8, 1 paused (4 pauses so far), 3 queued of 64 " in shown


def test_what_a_later_server_reports_is_shown_too() -> None:
    memory = {"active_bytes": 12_000_000_000, "peak_bytes": 13_000_000_000, "limit_bytes": None}
    cache = {"entries": 4, "bytes": 250_000_000, "disk_entries": 7, "disk_bytes": 2_000_000_000}
    shown = screen(view(memory=memory, prefix_cache=cache, store={"responses": 12}))
    assert "\nmemory        active 12.0 GB, peak 13.0 GB\n" in shown
    own = view(memory={"process_bytes": 2_000_000}, process=Process(99_000_000, 1))
    assert "\nmemory        process 2 MB\n" in screen(own)
    assert "\nprefix cache  entries 4, 250 MB, disk entries 7, disk 2.0 GB\n" in shown
    assert "\nstore         responses 12\n" in shown


def test_what_was_tuned_is_shown() -> None:
    tuned = "compiled_layers off (measured 2026-11-28)"
    shown = replace(view(), tuned=tuned)
    assert f"tuned         {tuned}" in to_lines(shown)
    assert to_json(shown)["tuned"] == tuned
    assert not any(line.startswith("tuned") for line in to_lines(view()))


def test_what_is_let_go_while_idle_is_shown() -> None:
    memory = {"process_bytes": 13_000_000_000, "wired_bytes": 0, "let_go_bytes": 12_100_000_000}
    assert ", let go 12.1 GB\n" in screen(view(memory=memory))


def test_what_is_wired_is_shown() -> None:
    memory = {"process_bytes": 13_000_000_000, "wired_bytes": 12_100_000_000}
    assert "\nmemory        process 13.0 GB, wired 12.1 GB\n" in screen(view(memory=memory))


def test_a_process_is_told_by_what_it_holds() -> None:
    found = read_process(os.getpid())
    held = held_bytes(os.getpid())
    assert found is not None
    assert held is not None
    assert abs(found.memory_bytes - held) < 0.2 * held
    assert read_process(2**22 + 1) is None


def test_a_stopped_service() -> None:
    shown = view(Absent(), Refused("Connection refused"), concerns=("It is not loaded.",))
    assert (
        screen(shown)
        == f"""\
mlxoss is not running
service       installed in {PLIST}
address       http://127.0.0.1:8000/v1
settings      /etc/mlxoss.toml
log           /var/log/mlxoss.log

It is not loaded.
"""
    )


@pytest.mark.parametrize(
    ("shown", "headline"),
    [
        (view(), "running"),
        (view(status="loading"), "running, loading"),
        (view(status="failed"), "running, but not healthy: failed"),
        (view(health=Silent("no answer within 0.2 s")), "running, but it hangs: no answer within"),
        (view(health=Refused("Connection refused")), "running, but not healthy: Connection"),
        (
            view(health=Silent("no answer within 0.2 s"), process=Process(1, 3)),
            "running, starting",
        ),
        (view(Absent(), Refused("")), "not running"),
        (view(Absent(), Refused(""), installed=False), "not installed"),
        (view(Unknown("x"), Refused("")), "unknown"),
    ],
)
def test_headlines(shown: View, headline: str) -> None:
    assert shown.headline.startswith(headline)


def test_a_refusal_shows_its_reason_instead_of_a_zero() -> None:
    job = Job(JobState.ENDED, runs=1, last_exit="0", last_code=0, where="gui/501")
    last = LastExit("port_taken", "port 8000 is in use", 7, 0.0)
    shown = screen(view(job, Refused(""), last_exit=last))
    assert "it last ended with: port 8000 is in use" in " ".join(shown.split())


def test_no_line_is_longer_than_the_screen() -> None:
    long = "a sentence of many words, " * 20
    job = Job(JobState.WAITING, runs=99, last_exit="Killed: 9 " * 20, where="gui/501")
    shown = screen(view(job, concerns=(long,), error=long))
    assert max(map(len, shown.splitlines())) <= 80


def test_json_holds_everything() -> None:
    found = to_json(view(process=Process(1, 2)))
    assert (found["verdict"], found["exit_status"]) == ("healthy", 0)
    assert found["job"]["pid"] == 4711
    assert found["health"] == REPORT
    assert found["process"] == {"memory_bytes": 1, "age_s": 2}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("  1024 00:05\n", Process(1_048_576, 5)),
        ("1 01:02:03", Process(1024, 3723)),
        ("1 2-03:04:05", Process(1024, 183_845)),
        ("", None),
        ("error", None),
    ],
)
def test_what_ps_says(text: str, found: Process | None) -> None:
    assert parse_ps(text) == found


def test_amounts() -> None:
    assert [to_duration(s) for s in (5, 65, 3700, 90_000)] == [
        *("5 s", "1 min", "1 h 1 min", "1 d 1 h")
    ]
    sizes = (0, 118_784, 5_400_000, 13_000_000_000)
    assert [to_bytes(size) for size in sizes] == ["0 kB", "119 kB", "5 MB", "13.0 GB"]
