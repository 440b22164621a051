"""``mlxoss mcp``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.cli.runner import mlxoss
from tests.support.mcp.running import good, hostile, write_servers

TOKEN = "canary-7f3a91c2"


def test_servers_are_listed(tmp_path: Path) -> None:
    home = tmp_path / "mlxoss"
    done = mlxoss(tmp_path, "mcp", "list")
    assert done.returncode == 0, done.stderr
    assert "names no servers" in done.stdout
    url = f"https://a.example/mcp?key={TOKEN}"
    path = write_servers(home, {"web": {"url": url}, "good": {"command": "npx", "args": [TOKEN]}})
    said = mlxoss(tmp_path, "privacy", env={"MLXOSS_TOOL_MCP": "on"}).stdout
    assert str(path) in said
    assert "MCP servers are told" in said
    done = mlxoss(tmp_path, "mcp", "list")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "web   address  https://a.example",
        "good  command  npx",
        "Requests may not use them: mlxoss config set tool_mcp on",
    ]
    write_servers(home, {"web": {"url": url}, "bad": {}})
    done = mlxoss(tmp_path, "mcp", "list", "--json", env={"MLXOSS_TOOL_MCP": "on"})
    assert done.returncode == 1
    assert json.loads(done.stdout) == {
        "path": str(path),
        "enabled": True,
        "servers": [{"label": "web", "kind": "address", "at": "https://a.example"}],
        "problems": [f"{path}: server 'bad' needs either 'command' or 'url'."],
        "notes": [],
    }


def test_they_stand_among_the_tools(tmp_path: Path) -> None:
    def told(**env: str) -> tuple[str, str]:
        rows = json.loads(mlxoss(tmp_path, "tools", "--json", env=env).stdout)
        (row,) = (row for row in rows if row["name"] == "mcp")
        return row["state"], row["about"]

    assert told() == ("off", "mlxoss config set tool_mcp on")
    state, about = told(MLXOSS_TOOL_MCP="on")
    assert (state, about.endswith("mcp.json names no servers.")) == ("bad", True)
    home = tmp_path / "mlxoss"
    write_servers(home, {"one": {"command": "npx"}, "two": {"command": "uvx"}})
    limits = "one, two; 120 s and 60,000 characters a call"
    assert told(MLXOSS_TOOL_MCP="on") == ("on", limits)
    write_servers(home, {"one": {"command": "npx"}, "bad": {}})
    assert told(MLXOSS_TOOL_MCP="on")[1].endswith("not all can be used (mlxoss mcp list)")
    path = write_servers(home, {"bad": {}})
    why = f"{path}: server 'bad' needs either 'command' or 'url'."
    assert told(MLXOSS_TOOL_MCP="on") == ("bad", why)


@pytest.mark.slow
def test_servers_are_tried(tmp_path: Path) -> None:
    env = {"API_TOKEN": TOKEN}
    servers = {"good": good(), "lies": hostile("schemas"), "bad": hostile("exits", env=env)}
    write_servers(tmp_path / "mlxoss", servers)
    done = mlxoss(tmp_path, "mcp", "check")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[0].startswith("ok    good: 7 tools, good 1.2, MCP ")
    assert "add, fail, picture" in lines[1]
    assert "      left out: array_schema: its inputSchema is not that of an object" in lines
    assert lines[-2:] == [
        "fail  bad: The server ended.",
        "      | hostile server is exits [redacted]",
    ]
    done = mlxoss(tmp_path, "mcp", "check", "lies", "--json")
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)
    assert found["tools"] == ["lax", "fine"]
    assert found["server"] == "hostile"
    assert {"name": "no_schema", "reason": "its inputSchema is not that of an object"} in found[
        "left_out"
    ]
    done = mlxoss(tmp_path, "mcp", "check", "none")
    assert done.returncode == 2
    assert "has no server 'none'" in done.stderr
