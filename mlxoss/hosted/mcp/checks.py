"""What ``mlxoss doctor`` says of MCP servers that are enabled, without starting or asking any.

``mlxoss mcp check`` does.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from mlxoss import paths
from mlxoss.findings import Check, Level
from mlxoss.hosted.mcp.programs import find_command
from mlxoss.hosted.mcp.server import CommandServer
from mlxoss.hosted.mcp.settings_file import read_mcp_file

_NAME = "mcp"


def check_mcp(env: Mapping[str, str]) -> Iterator[Check]:
    """Whether the file can be read, is its owner's alone, and its commands are there.

    ``env`` are the daemon's variables.
    """
    path = paths.mcp_file(env)
    file = read_mcp_file(path, env)
    for problem in file.problems:
        yield Check(_NAME, Level.FAIL, problem, f"Correct {path}.")
    if _is_open(path):
        detail = f"{path} may hold secrets, and others may read it"
        yield Check(_NAME, Level.WARN, detail, f"chmod 600 '{path}'")
    missing = False
    for server in file.servers.values():
        if isinstance(server, CommandServer) and not _is_there(server, env):
            missing = True
            detail = f"the command of {server.label} is not found: {server.command}"
            yield Check(
                _NAME, Level.FAIL, detail, f"Name it in full in {path}, or in 'env' a PATH."
            )
    if not file.servers and not file.problems:
        yield Check(_NAME, Level.WARN, f"{path} names no servers", "mlxoss config set tool_mcp off")
    elif not missing and not file.problems:
        labels = ", ".join(file.servers)
        yield Check(_NAME, Level.OK, f"{labels}; `mlxoss mcp check` asks them")


def _is_there(server: CommandServer, env: Mapping[str, str]) -> bool:
    return find_command(server.command, {**env, **dict(server.env)}, server.cwd) is not None


def _is_open(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))
    except OSError:
        return False
