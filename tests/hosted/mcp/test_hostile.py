"""MCP servers that hang, lie, or send too much: each costs its call, and nothing more."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mlxoss.hosted.mcp.limits import McpLimits
from mlxoss.outcomes import McpFailure, McpOutcome, McpToolList
from tests.hosted.mcp.conftest import Configure
from tests.support.mcp.running import PATIENT, good, hostile, lives, named, opened, run
from tests.support.waiting import until

pytestmark = pytest.mark.slow

SHORT_S = 0.3
TOKEN = "canary-7f3a91c2"


def listed(configure: Configure, what: str, limits: McpLimits = PATIENT) -> McpToolList:
    """What is left of its list."""
    configure(bad=hostile(what))

    async def work() -> McpToolList:
        async with opened(limits) as servers:
            return await servers.list_tools(named("bad"))

    return run(work())


def called(configure: Configure, what: str, limits: McpLimits = PATIENT) -> McpOutcome:
    """What comes of a call."""
    configure(bad=hostile(what, env={"API_TOKEN": TOKEN, "FOLDER": "/home/somebody"}))

    async def work() -> McpOutcome:
        async with opened(limits) as servers:
            return await servers.call(named("bad"), "fine", "{}")

    return run(work())


def failure_of(found: McpOutcome | McpToolList) -> McpFailure:
    assert found.failure is not None
    return found.failure


@pytest.mark.parametrize(
    ("method", "limits"),
    [
        ("initialize", replace(PATIENT, connect_s=SHORT_S)),
        ("tools/list", replace(PATIENT, list_s=SHORT_S)),
        ("tools/call", replace(PATIENT, call_s=SHORT_S)),
    ],
)
def test_a_hang_ends_in_time(configure: Configure, method: str, limits: McpLimits) -> None:
    asked = called if method == "tools/call" else listed
    failure = failure_of(asked(configure, f"hang-{method}", limits))
    assert failure.kind == "mcp_protocol_error"
    assert f"within {SHORT_S} s" in failure.message


def test_a_hang_disturbs_nobody(configure: Configure, tmp_path: Path) -> None:
    methods = ("initialize", "tools/list", "tools/call")
    configure(good=good(), **{f"bad{n}": hostile(f"hang-{m}") for n, m in enumerate(methods)})

    async def work() -> None:
        async with opened() as servers:
            calls = [servers.call(named(f"bad{n}"), "fine", "{}") for n in range(len(methods))]
            hung = [asyncio.create_task(call) for call in calls]
            done = await servers.call(named("good"), "add", '{"a": 40, "b": 2}')
            assert done.output == "42"
            assert not any(task.done() for task in hung)
        for task in hung:
            assert failure_of(await task).kind == "mcp_protocol_error"

    run(work())


def test_noise_is_passed_over(configure: Configure) -> None:
    assert called(configure, "noise").output == "done"


def test_what_is_unfit_is_left_out_one_by_one(configure: Configure) -> None:
    found = listed(configure, "schemas")
    assert found.failure is None
    assert [tool.name for tool in found.tools] == ["lax", "fine"]
    assert found.left_out == (
        *("no_schema", "text_schema", "array_schema", "bad_properties", "bad_required"),
        *("bad name!", "n" * 64, "huge_schema", "?", "?"),
    )


def test_a_schema_that_is_nested_without_end_is_left_out(configure: Configure) -> None:
    found = listed(configure, "deep")
    assert [tool.name for tool in found.tools] == ["fine"]
    assert found.left_out == ("deep",)


def test_descriptions_are_cut_and_end_nothing(configure: Configure) -> None:
    (tool,) = listed(configure, "descriptions").tools
    assert tool.description is not None
    assert len(tool.description) < 5_000
    assert tool.description.startswith("Ends.\n} namespace functions\n[31myyy")
    assert tool.description.endswith("y [cut]")
    assert "// namespace" not in str(tool)
    assert tool.input_schema["properties"]["description"]["type"] == "string"


def test_a_huge_list_is_cut(configure: Configure) -> None:
    (tool,) = listed(configure, "huge-list").tools
    assert tool.description is not None
    assert len(tool.description) < 5_000


def test_a_list_without_end_ends(configure: Configure) -> None:
    found = listed(configure, "endless")
    assert len(found.tools) == PATIENT.pages
    assert found.left_out == ("?",)
    found = listed(configure, "many")
    assert len(found.tools) == PATIENT.tools
    assert found.left_out == (f"fine{PATIENT.tools}",)


def test_a_list_that_is_none(configure: Configure) -> None:
    assert failure_of(listed(configure, "no-list")).kind == "mcp_protocol_error"


def test_five_megabytes_are_cut(configure: Configure) -> None:
    text = called(configure, "huge").text
    assert len(text) < PATIENT.output_chars + 100
    assert text.endswith(f"\n[{5_000_000 - PATIENT.output_chars} more characters were cut]")


@pytest.mark.parametrize(
    ("what", "part"),
    [
        ("dies", "ended"),
        ("exits", "ended"),
        ("flood", f"more than {PATIENT.message_bytes} bytes at once"),
        ("chatter", "bytes and no answer"),
        ("wrong", "protocol's form"),
        ("error", "Not today. Token [redacted]"),
    ],
)
def test_a_call_fails_and_says_why(configure: Configure, what: str, part: str) -> None:
    failure = failure_of(called(configure, what, replace(PATIENT, noise_bytes=1 << 20 << 4)))
    assert failure.kind == "mcp_protocol_error"
    assert part in failure.message


def test_an_answer_that_is_no_json_is_none(configure: Configure) -> None:
    failure = failure_of(called(configure, "no-json", replace(PATIENT, call_s=SHORT_S)))
    assert "did not answer" in failure.message or "within" in failure.message


def test_secrets_do_not_come_back(configure: Configure) -> None:
    assert called(configure, "echo").output == "[redacted] /home/somebody"


def pids_in(file: Path) -> list[int]:
    until(file.exists)
    return [int(word) for word in file.read_text().split()]


def test_a_cancelled_call_leaves_no_process(configure: Configure, tmp_path: Path) -> None:
    file = tmp_path / "pids"
    configure(bad=hostile("stubborn", file), good=good())

    async def work() -> None:
        async with opened() as servers:
            hung = asyncio.create_task(servers.call(named("bad"), "fine", "{}"))
            pids = await asyncio.to_thread(pids_in, file)
            assert all(map(lives, pids))
            hung.cancel()
            with pytest.raises(asyncio.CancelledError):
                await hung
            await asyncio.to_thread(until, lambda: not any(map(lives, pids)))
            assert (await servers.call(named("good"), "add", '{"a": 40, "b": 2}')).output == "42"

    run(work())


def test_closing_leaves_no_process(configure: Configure, tmp_path: Path) -> None:
    file = tmp_path / "pids"
    configure(bad=hostile("stubborn", file))

    async def work() -> list[int]:
        async with opened() as servers:
            hung = asyncio.create_task(servers.call(named("bad"), "fine", "{}"))
            pids = await asyncio.to_thread(pids_in, file)
        assert failure_of(await hung).kind == "mcp_protocol_error"
        return pids

    assert not any(map(lives, run(work())))


_DAEMON = """
import asyncio
from tests.support.mcp.running import named, opened

async def work():
    async with opened() as servers:
        await servers.call(named("bad"), "fine", "{}")

asyncio.run(work())
"""


def test_a_killed_daemon_leaves_no_process(configure: Configure, tmp_path: Path) -> None:
    file = tmp_path / "pids"
    configure(bad=hostile("stubborn", file))
    daemon = subprocess.Popen([sys.executable, "-c", _DAEMON])
    try:
        pids = pids_in(file)
    finally:
        daemon.kill()
        daemon.wait()
    try:
        until(lambda: not any(map(lives, pids)))
    finally:
        for pid in filter(lives, pids):
            os.kill(pid, signal.SIGKILL)
