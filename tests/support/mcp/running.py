"""MCP servers for tests: configured by a file, run as processes, asked as turns ask them."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from mlxoss.config import Config
from mlxoss.hosted.mcp.limits import McpLimits
from mlxoss.hosted.mcp.servers import open_mcp
from mlxoss.hosted.tools import McpServers
from mlxoss.outcomes import McpServerRef
from tests.support.waiting import HANG_S

FOLDER = Path(__file__).parent
PATIENT = McpLimits(connect_s=HANG_S, list_s=HANG_S, call_s=HANG_S)
T = TypeVar("T")

Entry = dict[str, Any]


def good(**more: Any) -> Entry:
    """The SDK's own server, on stdio."""
    return {"command": sys.executable, "args": [str(FOLDER / "good.py"), "stdio"], **more}


def hostile(what: str, file: Path | None = None, **more: Any) -> Entry:
    """A server that does that wrong."""
    args = [str(FOLDER / "hostile.py"), what, *([str(file)] if file else [])]
    return {"command": sys.executable, "args": args, **more}


def write_servers(home: Path, servers: dict[str, Any]) -> Path:
    """Write ``mcp.json`` below ``home``, which ``MLXOSS_HOME`` is to name."""
    path = home / "config" / "mcp.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"mcpServers": servers}))
    path.chmod(0o600)
    return path


@asynccontextmanager
async def opened(
    limits: McpLimits = PATIENT, *, addresses: str = "off"
) -> AsyncIterator[McpServers]:
    """What the daemon would open by the file below ``MLXOSS_HOME``."""
    servers = open_mcp(Config(tool_mcp="on", mcp_addresses=addresses), limits)
    assert servers is not None
    try:
        yield servers
    finally:
        await servers.close()


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run it to its end."""
    return asyncio.run(work)


def named(label: str) -> McpServerRef:
    return McpServerRef(label)


@contextmanager
def over_http(kind: str = "http", token: str = "") -> Iterator[str]:
    """The same server under an address of this machine, which is returned."""
    words = [sys.executable, str(FOLDER / "good.py"), kind, *([token] if token else [])]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        port = int(process.stdout.readline())
        yield f"http://127.0.0.1:{port}/{'sse' if kind == 'sse' else 'mcp'}"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def lives(pid: int) -> bool:
    """Whether the process is there, and no zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return state.stdout.strip()[:1] not in ("", "Z")
