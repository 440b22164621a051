"""MCP servers by the SDK's own server side, over stdio and HTTP."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mlxoss.config import Config
from mlxoss.hosted.mcp.limits import McpLimits
from mlxoss.hosted.mcp.servers import open_mcp
from mlxoss.outcomes import McpServerRef
from tests.hosted.mcp.conftest import Configure
from tests.support.mcp.running import good, lives, named, opened, over_http, run
from tests.support.waiting import HANG_S, until

pytestmark = pytest.mark.slow

TOKEN = "canary-7f3a91c2"


def test_nothing_is_there_unless_enabled(configure: Configure) -> None:
    configure(good=good())
    assert open_mcp(Config()) is None

    async def work() -> None:
        servers = open_mcp(Config(mcp_addresses="on"))
        assert servers is not None
        assert (servers.labels, servers.allows_addresses) == ((), True)
        failure = (await servers.list_tools(named("good"))).failure
        assert failure is not None
        assert "no MCP server 'good'" in failure.message

    run(work())


def test_the_sdk_is_never_imported_here(configure: Configure) -> None:
    configure(good=good())
    program = """
import asyncio, sys
from mlxoss.config import Config
from mlxoss.hosted.mcp.servers import open_mcp
from mlxoss.outcomes import McpServerRef

async def work():
    servers = open_mcp(Config(tool_mcp="on"))
    print((await servers.call(McpServerRef("good"), "add", '{"a": 40, "b": 2}')).output)
    await servers.close()

asyncio.run(work())
print(*sorted({"mcp", "mcp_types", "httpx2", "anyio", "pydantic"} & sys.modules.keys()))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "42\n\n"


def test_tools_are_listed_and_called(configure: Configure) -> None:
    configure(good=good(env={"NAME": "value"}))

    async def work() -> None:
        async with opened() as servers:
            assert servers.labels == ("good",)
            assert not servers.allows_addresses
            listed = await servers.list_tools(named("good"))
            assert listed.failure is None
            tools = {tool.name: tool for tool in listed.tools}
            assert list(tools)[:2] == ["add", "fail"]
            assert tools["add"].description == "Add two numbers."
            assert tools["add"].input_schema["required"] == ["a", "b"]
            assert tools["add"].is_read_only
            assert not tools["fail"].is_read_only
            done = await servers.call(named("good"), "add", '{"a": 40, "b": 2}')
            assert (done.text, done.output, done.failure) == ("42", "42", None)
            done = await servers.call(named("good"), "variable", '{"name": "NAME"}')
            assert done.output == "value"

    run(work())


def test_what_is_no_text_is_told_of(configure: Configure) -> None:
    configure(good=good())

    async def work() -> None:
        async with opened() as servers:
            done = await servers.call(named("good"), "picture", "{}")
            assert done.output == "[Image, image/png, 3 kB: not shown]"
            done = await servers.call(named("good"), "weather", '{"city": "Oslo"}')
            assert json.loads(done.text) == {"city": "Oslo", "degrees": 21}

    run(work())


FAILURES = [
    ("fail", "{}", "mcp_tool_execution_error", "Error executing tool fail"),
    ("add", '{"a": 1}', "mcp_tool_execution_error", "b"),
    ("add", "[1, 2]", "mcp_tool_execution_error", "no JSON object"),
    ("add", "{", "mcp_tool_execution_error", "no JSON object"),
    ("nothing", "{}", "mcp_protocol_error", "no tool 'nothing'"),
]


def test_failures_are_outcomes(configure: Configure) -> None:
    configure(good=good())

    async def work() -> None:
        async with opened() as servers:
            for tool, arguments, kind, part in FAILURES:
                done = await servers.call(named("good"), tool, arguments)
                assert done.output is None
                assert done.failure is not None
                assert done.failure.kind == kind
                assert part in done.failure.message
                assert done.text == f"Error: {done.failure.message}"

    run(work())


@pytest.mark.parametrize("kind", ["http", "sse"])
def test_over_http_with_a_token(configure: Configure, kind: str) -> None:
    with over_http(kind, TOKEN) as url:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        configure(
            good={"type": kind, "url": url, "headers": headers}, other={"type": kind, "url": url}
        )

        async def work() -> None:
            async with opened() as servers:
                done = await servers.call(named("good"), "add", '{"a": 40, "b": 2}')
                assert done.output == "42"
                refused = await servers.list_tools(named("other"))
                assert refused.failure is not None
                assert (refused.failure.kind, refused.failure.code) == ("http_error", 401)
                assert "credentials" in refused.failure.message

        run(work())


def test_nobody_there(configure: Configure) -> None:
    configure(none={"url": "http://127.0.0.1:9/mcp"}, lost={"command": "no-such-command-here"})

    async def work() -> None:
        async with opened() as servers:
            http = (await servers.list_tools(named("none"))).failure
            assert http is not None
            assert (http.kind, http.code) == ("http_error", None)
            command = (await servers.list_tools(named("lost"))).failure
            assert command is not None
            assert "not found, 'no-such-command-here'" in command.message

    run(work())


def test_calls_run_beside_each_other(configure: Configure, tmp_path: Path) -> None:
    configure(good=good())
    file = tmp_path / "waits"

    async def work() -> None:
        async with opened() as servers:
            arguments = json.dumps({"file": str(file)})
            waiting = asyncio.create_task(servers.call(named("good"), "wait", arguments))
            await asyncio.to_thread(until, file.exists)
            done = await servers.call(named("good"), "add", '{"a": 40, "b": 2}')
            assert done.output == "42"
            assert not waiting.done()
            file.unlink()
            assert (await waiting).output == "it is gone"

    run(work())


def test_a_server_keeps_its_process_until_it_is_idle(configure: Configure) -> None:
    configure(good=good())
    limits = McpLimits(connect_s=HANG_S, list_s=HANG_S, call_s=HANG_S, idle_s=0.2)

    async def work() -> None:
        async with opened() as servers:
            first = await servers.call(named("good"), "pid", "{}")
            assert (await servers.call(named("good"), "pid", "{}")) == first
        assert not lives(int(first.text))
        async with opened(limits) as servers:
            first = await servers.call(named("good"), "pid", "{}")
            await asyncio.to_thread(until, lambda: not lives(int(first.text)))
            assert (await servers.call(named("good"), "pid", "{}")) != first

    run(work())


def test_a_dead_server_is_started_anew(configure: Configure) -> None:
    configure(good=good())

    async def work() -> None:
        async with opened() as servers:
            first = int((await servers.call(named("good"), "pid", "{}")).text)
            os.kill(first, signal.SIGKILL)
            await asyncio.to_thread(until, lambda: not lives(first))
            while (done := await servers.call(named("good"), "pid", "{}")).failure:
                assert "ended" in done.failure.message
            assert int(done.text) != first

    run(work())


def test_one_that_was_idle_longest_makes_room(configure: Configure) -> None:
    configure(**{f"good{number}": good() for number in range(3)})
    limits = McpLimits(connect_s=HANG_S, list_s=HANG_S, call_s=HANG_S, links=2)

    async def work() -> None:
        async with opened(limits) as servers:
            pids = [
                int((await servers.call(named(label), "pid", "{}")).text)
                for label in ("good0", "good1", "good0", "good2")
            ]
            assert pids[0] == pids[2]
            await asyncio.to_thread(until, lambda: not lives(pids[1]))
            assert lives(pids[0])

    run(work())


def test_too_many_at_once_are_refused(configure: Configure, tmp_path: Path) -> None:
    configure(good=good(), other=good())
    limits = McpLimits(connect_s=HANG_S, list_s=HANG_S, call_s=HANG_S, links=1)
    file = tmp_path / "waits"

    async def work() -> None:
        async with opened(limits) as servers:
            arguments = json.dumps({"file": str(file)})
            waiting = asyncio.create_task(servers.call(named("good"), "wait", arguments))
            await asyncio.to_thread(until, file.exists)
            failure = (await servers.list_tools(named("other"))).failure
            assert failure is not None
            assert "in use" in failure.message
            file.unlink()
            await waiting

    run(work())


def test_the_file_is_read_anew(configure: Configure) -> None:
    configure(good=good())

    async def work() -> None:
        async with opened() as servers:
            before = servers.labels
            configure(good=good(), more=good())
            assert (before, servers.labels) == (("good",), ("good", "more"))

    run(work())


def test_secrets_are_nowhere(
    configure: Configure, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    with over_http("http", TOKEN) as url:
        configure(
            right={"url": url, "headers": {"Authorization": f"Bearer {TOKEN}"}},
            wrong={"url": f"{url}?key={TOKEN}", "headers": {"X-Key": TOKEN}},
            good=good(env={"API_KEY": TOKEN}),
        )
        file = tmp_path / "waits"

        async def work() -> list[object]:
            async with opened() as servers:
                waiting = asyncio.create_task(
                    servers.call(named("good"), "wait", json.dumps({"file": str(file)}))
                )
                await asyncio.to_thread(until, file.exists)
                titles = await asyncio.to_thread(command_lines)
                file.unlink()
                return [
                    titles,
                    await waiting,
                    await servers.call(named("good"), "variable", '{"name": "API_KEY"}'),
                    await servers.call(named("right"), "add", '{"a": 1, "b": 2}'),
                    await servers.call(named("wrong"), "add", '{"a": 1, "b": 2}'),
                    await servers.list_tools(named("wrong")),
                    McpServerRef("x", url, (("Authorization", TOKEN),)),
                ]

        told = [*map(str, run(work())), caplog.text]
    assert "[redacted]" in told[2]
    assert [text for text in told[1:] if TOKEN in text] == []
    own = [line for line in told[0].split("\n") if "mlxoss.hosted.mcp.child" in line]
    assert own
    assert not any(TOKEN in line for line in own)


def command_lines() -> str:
    words = ["ps", "-axww", "-o", "command="]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout
