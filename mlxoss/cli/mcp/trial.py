"""Tries MCP servers: starts or reaches each, and lists its tools. Calls nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import typer

from mlxoss.cli.mcp.servers import read_file
from mlxoss.cli.printing import LEVEL_COLOURS
from mlxoss.errors import ConfigError
from mlxoss.findings import Level
from mlxoss.hosted.mcp.limits import McpLimits
from mlxoss.hosted.mcp.link import LinkFailed, McpLink
from mlxoss.hosted.mcp.server import McpServer

_SHOWN_LINES = 5


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of one. ``said`` is the last that a command wrote to stderr, where it failed."""

    label: str
    about: Mapping[str, Any]
    tools: tuple[str, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()
    failure: str | None = None
    said: str = ""

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "label": self.label,
            "ok": self.failure is None,
            "server": self.about.get("name"),
            "version": self.about.get("version"),
            "protocol": self.about.get("protocol"),
            "tools": list(self.tools),
            "left_out": [{"name": name, "reason": why} for name, why in self.left_out],
            "failure": self.failure,
            "stderr": self.said or None,
        }


def try_servers(label: str | None) -> list[Trial]:
    """Try them, all at once. Raises ``ConfigError`` for a label that the file has not."""
    found = read_file()
    servers = found.file.servers
    if label is not None and label not in servers:
        problems = " ".join(found.file.problems)
        raise ConfigError(f"{found.path} has no server '{label}'. {problems}".strip())
    chosen = [server for name, server in servers.items() if label in (None, name)]
    wrong = [Trial("mcp.json", {}, failure=text) for text in found.file.problems if label is None]
    return [*wrong, *asyncio.run(_try_all(chosen))]


async def _try_all(servers: list[McpServer]) -> list[Trial]:
    return list(await asyncio.gather(*map(_try, servers)))


async def _try(server: McpServer) -> Trial:
    link: McpLink | None = None
    try:
        link = await McpLink.start(server, McpLimits())
        about = await link.connect()
        answer = await link.list_tools()
    except LinkFailed as error:
        said = link.last_words if link else ""
        return Trial(server.label, {}, failure=error.failure.message, said=said)
    finally:
        if link is not None:
            await link.end()
    names = tuple(tool["name"] for tool in answer["tools"])
    return Trial(server.label, about, names, tuple((name, why) for name, why in answer["left_out"]))


def to_lines(trial: Trial, *, terminal: bool) -> Iterator[str]:
    """For people."""
    level = Level.FAIL if trial.failure else Level.OK
    word = typer.style(f"{level:4}", fg=LEVEL_COLOURS[level]) if terminal else f"{level:4}"
    if trial.failure:
        yield f"{word}  {trial.label}: {trial.failure}"
        for line in trial.said.splitlines()[-_SHOWN_LINES:]:
            yield f"      | {_printable(line)}"
        return
    about = " ".join(str(trial.about[name]) for name in ("name", "version") if name in trial.about)
    count = f"{len(trial.tools)} tool{'' if len(trial.tools) == 1 else 's'}"
    yield f"{word}  {trial.label}: {count}, {_printable(about)}, MCP {trial.about['protocol']}"
    if trial.tools:
        yield f"      {', '.join(trial.tools)}"
    for name, why in trial.left_out:
        yield f"      left out: {name}: {why}"


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)
