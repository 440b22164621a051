"""Tools at the edge of what the server runs: they answer, fail or hang as their test says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mlxoss.hosted.tools import HostedTools
from mlxoss.outcomes import (
    BrowserOutcome,
    FoundInPage,
    McpOutcome,
    McpServerRef,
    McpTool,
    McpToolList,
    OpenedPage,
    PythonOutcome,
    ShownPage,
    WebSearch,
)


@dataclass
class Calls:
    """What was asked of a tool. While it ``hangs`` its calls do not end; ``ended`` are those that
    were cancelled. ``errors`` are raised, one per call."""

    made: list[tuple[str, ...]] = field(default_factory=list)
    hangs: bool = False
    running: int = 0
    ended: int = 0
    errors: list[Exception] = field(default_factory=list)

    async def note(self, *call: str) -> None:
        self.made.append(call)
        if self.errors:
            raise self.errors.pop(0)
        self.running += 1
        try:
            while self.hangs:
                await asyncio.sleep(0.002)
        except asyncio.CancelledError:
            self.ended += 1
            raise
        finally:
            self.running -= 1


@dataclass
class ScriptedPython:
    """Answers a cell by ``answer``; each container has its own state, a list of its cells."""

    answer: Callable[[str, Sequence[str]], str] = lambda code, cells: f"ran {code}\n"
    calls: Calls = field(default_factory=Calls)
    cells: dict[str, list[str]] = field(default_factory=dict)
    is_closed: bool = False

    async def run(self, container_id: str, code: str) -> PythonOutcome:
        await self.calls.note(container_id, code)
        cells = self.cells.setdefault(container_id, [])
        logs = self.answer(code, cells)
        cells.append(code)
        return PythonOutcome(logs, logs)

    async def close(self) -> None:
        self.is_closed = True


@dataclass
class ScriptedPages:
    """The pages of one session: each call pushes one."""

    first: int
    calls: Calls
    pages: dict[int, ShownPage] = field(default_factory=dict)

    async def call(self, function: str, arguments: str) -> BrowserOutcome:
        await self.calls.note(function, arguments)
        given = json.loads(arguments)
        cursor = self.first + len(self.pages)
        url = "" if function == "search" else f"https://example.org/{cursor}"
        page = self.pages[cursor] = ShownPage(cursor, url, f"Page {cursor}")
        text = f"[{cursor}] {page.title} ({url})\nL0: {arguments}"
        match function:
            case "search":
                action = WebSearch(given["query"], ("https://example.org/hit",))
            case "open":
                return BrowserOutcome(text, OpenedPage(url), page)
            case _:
                return BrowserOutcome(text, FoundInPage(given["pattern"], url), page)
        return BrowserOutcome(text, action, page)

    def page(self, cursor: int) -> ShownPage | None:
        return self.pages.get(cursor)


@dataclass
class ScriptedBrowser:
    """Sessions are known until ``forget``; ``asked`` is what each was opened with."""

    calls: Calls = field(default_factory=Calls)
    sessions: dict[str, ScriptedPages] = field(default_factory=dict)
    asked: list[tuple[str, int, tuple[str, ...], tuple[str, ...]]] = field(default_factory=list)

    def session(
        self,
        session_id: str,
        *,
        next_cursor: int,
        said: Sequence[str],
        allowed_domains: Sequence[str],
    ) -> ScriptedPages:
        self.asked.append((session_id, next_cursor, tuple(said), tuple(allowed_domains)))
        return self.sessions.setdefault(session_id, ScriptedPages(next_cursor, self.calls))

    async def close(self) -> None:
        self.sessions.clear()


ADD = McpTool(
    "add",
    {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "required": ["a", "b"],
        "additionalProperties": False,
    },
    "Adds two numbers.",
    is_read_only=True,
)


@dataclass
class ScriptedServers:
    """One server, ``sums``, whose tool adds."""

    labels: tuple[str, ...] = ("sums",)
    allows_addresses: bool = False
    tools: tuple[McpTool, ...] = (ADD,)
    calls: Calls = field(default_factory=Calls)
    listed: list[McpServerRef] = field(default_factory=list)
    called: list[McpServerRef] = field(default_factory=list)
    list_errors: list[Exception] = field(default_factory=list)

    async def list_tools(self, server: McpServerRef) -> McpToolList:
        self.listed.append(server)
        if self.list_errors:
            raise self.list_errors.pop(0)
        return McpToolList(self.tools)

    async def call(self, server: McpServerRef, tool: str, arguments: str) -> McpOutcome:
        await self.calls.note(server.label, tool, arguments)
        self.called.append(server)
        given = json.loads(arguments)
        text = str(given["a"] + given["b"])
        return McpOutcome(text, text)

    async def close(self) -> None:
        self.tools = ()


@dataclass
class Scripted:
    """All of them."""

    python: ScriptedPython = field(default_factory=ScriptedPython)
    browser: ScriptedBrowser = field(default_factory=ScriptedBrowser)
    mcp: ScriptedServers = field(default_factory=ScriptedServers)

    @property
    def tools(self) -> HostedTools:
        return HostedTools(self.python, self.browser, self.mcp)
