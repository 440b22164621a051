"""The file of MCP servers that the daemon reads, for people: nothing in it that may be a secret."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlxoss import paths
from mlxoss.cli.printing import tilde
from mlxoss.cli.this_machine import command_env
from mlxoss.config import find_config_file, load_config
from mlxoss.errors import ConfigError
from mlxoss.hosted.mcp.server import CommandServer
from mlxoss.hosted.mcp.settings_file import McpFile, read_mcp_file

HOW_TO_ENABLE = "mlxoss config set tool_mcp on"


@dataclass(frozen=True, slots=True)
class FoundFile:
    """Where it is, what is in it, and whether requests may use that."""

    path: Path
    file: McpFile
    is_enabled: bool


def read_file(env: Mapping[str, str] | None = None) -> FoundFile:
    """Read it as the daemon would."""
    env = command_env() if env is None else env
    path = paths.mcp_file(env)
    return FoundFile(path, read_mcp_file(path, env), _is_enabled(env))


def _is_enabled(env: Mapping[str, str]) -> bool:
    try:
        config = load_config({}, env, find_config_file(None, env, paths.config_file(env)))
    except ConfigError:
        return False
    return config.tool_mcp == "on"


def to_json(found: FoundFile) -> dict[str, Any]:
    """For programs."""
    return {
        "path": str(found.path),
        "enabled": found.is_enabled,
        "servers": [
            {"label": label, "kind": _kind(server), "at": server.shown}
            for label, server in found.file.servers.items()
        ],
        "problems": list(found.file.problems),
        "notes": list(found.file.notes),
    }


def to_lines(found: FoundFile) -> Iterator[str]:
    """For people."""
    servers = found.file.servers
    if not servers and not found.file.problems:
        yield f"{tilde(found.path)} names no servers."
    width = max(map(len, servers), default=0)
    for label, server in servers.items():
        yield f"{label:{width}}  {_kind(server):7}  {server.shown}"
    for problem in found.file.problems:
        yield f"wrong: {problem}"
    for note in found.file.notes:
        yield f"note: {note}"
    if servers and not found.is_enabled:
        yield f"Requests may not use them: {HOW_TO_ENABLE}"


def _kind(server: object) -> str:
    return "command" if isinstance(server, CommandServer) else "address"
